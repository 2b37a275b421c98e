"""Wirings in safetensors files: lists as JSON, places and bits as tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lottoc.masks.mask import Mask
from lottoc.masks.signal import Edges, Read, Step, Use, Wiring

_PLAIN = "plain"


def save_wiring(path: Path, wiring: Wiring) -> None:
    """Write a wiring; equal ones give equal bytes."""
    from safetensors.numpy import save

    tensors: dict[str, NDArray[Any]] = {}
    steps = []
    for number, step in enumerate(wiring.steps):
        if isinstance(step, Use):
            steps.append([step.layer, step.source, step.target, step.groups, step.depthwise])
            continue
        for index, read in enumerate(step.reads):
            if read.places is not None:
                tensors[f"places/{number}/{index}"] = read.places.astype(np.int64)
        steps.append([step.target, [read.source for read in step.reads]])
    for name, edges in wiring.own.packed.items():
        tensors[f"own/{name}"] = edges.bits
        tensors[f"shape/{name}"] = np.array(edges.shape, np.int64)
    plain = [wiring.widths, wiring.inputs, wiring.outputs, steps]
    tensors[_PLAIN] = np.frombuffer(json.dumps(plain).encode(), np.uint8)
    path.write_bytes(save(tensors))


def load_wiring(path: Path) -> Wiring:
    """Read what `save_wiring` wrote."""
    from safetensors.numpy import load_file

    tensors = load_file(path)
    widths, inputs, outputs, plain = json.loads(tensors[_PLAIN].tobytes())
    steps: list[Step | Use] = []
    for number, step in enumerate(plain):
        if len(step) == 2:
            places = [tensors.get(f"places/{number}/{index}") for index in range(len(step[1]))]
            reads = (Read(source, at) for source, at in zip(step[1], places, strict=True))
            steps.append(Step(step[0], tuple(reads)))
        else:
            steps.append(Use(*step))
    own = {
        key.removeprefix("own/"): Mask(
            tuple(map(int, tensors[f"shape/{key.removeprefix('own/')}"])), bits
        )
        for key, bits in tensors.items()
        if key.startswith("own/")
    }
    return Wiring(widths, steps, inputs, [(name, value) for name, value in outputs], Edges(own))
