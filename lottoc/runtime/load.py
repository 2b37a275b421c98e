"""Loads a compiled `.pt2` file."""

from __future__ import annotations

import json
import os
import zipfile
from typing import Any

import torch

NOTES = "lottoc.json"
"""The file inside the archive that says what lottoc wrote."""


class NotCompiled(ValueError):
    """A file that lottoc did not write, or that is damaged."""


def load(path: str | os.PathLike[str], device: str | torch.device | None = None) -> Any:
    """The model of a compiled file as a module, to be called as the one it was made from.

    It is in evaluation mode for good. Under `format = masked` its parameters can be trained: what
    is pruned stays zero. With `device` it is moved there, constants included.
    Raises `NotCompiled`.
    """
    program, _ = read(path)
    if device is not None:
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, torch.device(device))
    return program.module()


def read(path: str | os.PathLike[str]) -> tuple[torch.export.ExportedProgram, dict[str, Any]]:
    """The program of a compiled file, and what is noted of it; raises `NotCompiled`."""
    files: dict[str, Any] = {NOTES: ""}
    try:
        _refuse_pickles(path)
        with open(path, "rb") as stream:
            program = torch.export.load(stream, extra_files=files)
        noted: Any = json.loads(files[NOTES] or "null")
    except (OSError, NotCompiled):
        raise
    except Exception as error:  # torch raises whatever its many parts raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise NotCompiled(f"{os.fspath(path)} cannot be loaded: {reason}") from error
    if not isinstance(noted, dict):
        raise NotCompiled(f"{os.fspath(path)} was not written by lottoc")
    return program, noted


def _refuse_pickles(path: str | os.PathLike[str]) -> None:
    """torch would unpickle such a tensor, which can run code; lottoc stores none."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(("_weights_config.json", "_constants_config.json")):
                for key, entry in json.loads(archive.read(name))["config"].items():
                    if entry["use_pickle"] or not entry["tensor_meta"]:
                        raise NotCompiled(f'{os.fspath(path)} holds "{key}" as a pickled object')
