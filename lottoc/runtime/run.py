"""Runs a compiled file in a process of its own: `python -m lottoc.runtime.run MODEL FOLDER`.

FOLDER holds inputs-N.pt, one tensor each; outputs-N.pt is what the model gives for it, a list of
tensors. The last line printed is JSON: what failed, and which parts of the compiler were loaded,
of which there should be none.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree

from lottoc.runtime.load import load

COMPILER = ("lark", "xdsl", "onnx", "onnxruntime", "lottoc.grammar", "lottoc.ir", "lottoc.backends")
"""What a runtime must do without."""


def main(model: str, folder: str) -> dict[str, Any]:
    """Run every input of a folder; gives the answer."""
    torch.set_num_threads(1)
    answer: dict[str, Any] = {"failed": "load", "reason": "", "trials": 0}
    try:
        module = load(model)
        answer["failed"] = "run"
        for path in sorted(Path(folder).glob("inputs-*.pt")):
            with torch.no_grad():
                outputs = module(torch.load(path, weights_only=True))
            # a clone: what is stored of a view is all that it is a view of
            flat = [leaf.clone() for leaf in _pytree.tree_leaves(outputs)]
            torch.save(flat, path.with_name(path.name.replace("inputs", "outputs")))
            answer["trials"] += 1
        answer["failed"] = ""
    except Exception as error:
        answer["reason"] = (str(error).strip().splitlines() or [type(error).__name__])[0]
    answer["loaded"] = [name for name in COMPILER if name in sys.modules]
    return answer


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2])))
