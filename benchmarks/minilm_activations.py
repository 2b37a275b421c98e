"""MiniLM as ONNX pruned after training by several criteria, beside onnxsim on the same data.

    python examples/minilm/prepare.py
    python benchmarks/minilm_activations.py wikitext-2 [--onnxsim]

Half of the weights of all linear layers go: 2:4, which onnxsim can do too, and in groups of 128
rows, which run faster on onnxruntime (`groups_minilm.py`).

Compares sentence embeddings (mean over tokens, normalized) of sentences of test.txt with those of
the dense model, by cosine; calibration is on sentences of valid.txt. onnxsim 0.8.1 is optional.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
MODEL = HERE.parent / "examples" / "minilm" / "minilm.onnx"
INPUTS = {"input_ids": "ids", "attention_mask": "mask", "token_type_ids": "types"}


def sentences(path: Path, count: int, seed: int) -> list[str]:
    """Drawn from the text, between 60 and 400 characters long."""
    found = [
        part.strip()
        for line in path.read_text("utf-8").splitlines()
        if not line.strip().startswith("=")
        for part in line.split(" . ")
        if 60 < len(part.strip()) < 400
    ]
    order = np.random.default_rng(seed).permutation(len(found))[:count]
    return [found[i] for i in order]


def tokens(texts: list[str], length: int) -> dict[str, np.ndarray]:
    from all_minilm_l6_v2 import get_model_zip_path
    from tokenizers import Tokenizer

    text = zipfile.ZipFile(get_model_zip_path()).read("tokenizer.json").decode()
    tokenizer = Tokenizer.from_str(text)
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length)
    encoded = tokenizer.encode_batch(texts)
    return {
        "input_ids": np.array([e.ids for e in encoded], np.int64),
        "attention_mask": np.array([e.attention_mask for e in encoded], np.int64),
        "token_type_ids": np.array([e.type_ids for e in encoded], np.int64),
    }


def embeddings(model: str | bytes, data: dict[str, np.ndarray]) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(model)
    found = []
    for start in range(0, len(data["input_ids"]), 16):
        batch = {name: array[start : start + 16] for name, array in data.items()}
        hidden = session.run(None, batch)[0]
        mask = batch["attention_mask"][..., None]
        mean = (hidden * mask).sum(axis=1) / mask.sum(axis=1)
        found.append(mean / np.linalg.norm(mean, axis=1, keepdims=True))
    return np.concatenate(found)


CASES = {
    "pattern = 2:4": ("magnitude", "wanda", "sparsegpt"),
    "pattern = groups(128)   sparsity = 50%": ("magnitude", "wanda", "ria", "sparsegpt"),
}


def compile_all(folder: Path, calibration: dict[str, np.ndarray], said: str) -> dict[str, float]:
    """Compile one artefact a criterion, with the rest of the ticket as said; gives seconds each."""
    from lottoc.diagnostics import Findings
    from lottoc.driver import compile_recipe
    from lottoc.engine.store import Store
    from lottoc.front import Request
    from lottoc.progress import Silent

    arrays = {stored: calibration[name] for name, stored in INPUTS.items()}
    np.savez(folder / "calibration.npz", **arrays)
    named = ", ".join(f'{name} = "{stored}"' for name, stored in INPUTS.items())
    seconds = {}
    for criterion in CASES[said]:
        scope = "   scope = uniform" if "groups" in said and criterion != "sparsegpt" else ""
        (folder / f"{criterion}.lotto").write_text(
            f'model bert {{ source = onnx("{MODEL}") }}\n'
            f'data texts {{ calibration = npz("calibration.npz", {named}) }}\n'
            f"ticket t {{ layers = linear   criterion = {criterion}   {said}{scope} }}\n"
            f'emit onnx "{criterion}.onnx" {{ ticket = t }}\n'
        )
        start = time.perf_counter()
        store = Store(folder / "store" / str(len(said)) / criterion)
        request = Request(folder / f"{criterion}.lotto", store, {}, Silent())
        compile_recipe(request, folder, Findings())
        seconds[criterion] = time.perf_counter() - start
    return seconds


def onnxsim_all(calibration: dict[str, np.ndarray]) -> tuple[dict[str, bytes], dict[str, float]]:
    import onnxsim

    count = len(calibration["input_ids"])
    batches = [{n: a[i : i + 16] for n, a in calibration.items()} for i in range(0, count, 16)]
    models, seconds = {}, {}
    for name, call in {
        "magnitude": lambda: onnxsim.apply_magnitude_pruning(str(MODEL), n=2, m=4),
        "wanda": lambda: onnxsim.apply_wanda_pruning(str(MODEL), batches, n=2, m=4),
        "sparsegpt": lambda: onnxsim.apply_sparsegpt_pruning(str(MODEL), batches, n=2, m=4),
    }.items():
        start = time.perf_counter()
        models[name] = call().SerializeToString()
        seconds[name] = time.perf_counter() - start
    return models, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a folder with valid.txt and test.txt")
    parser.add_argument("--calibration", type=int, default=128, help="sentences")
    parser.add_argument("--held-out", type=int, default=256, help="sentences")
    parser.add_argument("--onnxsim", action="store_true")
    args = parser.parse_args()
    calibration = tokens(sentences(args.data / "valid.txt", args.calibration, 0), 64)
    held_out = tokens(sentences(args.data / "test.txt", args.held_out, 1), 64)
    dense = embeddings(str(MODEL), held_out)
    results = HERE / "results" / "minilm_activations.json"
    known = json.loads(results.read_text()) if results.exists() else {}
    result: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "calibration": f"{args.calibration} sentences of valid.txt, 64 tokens",
        "held_out": f"{args.held_out} sentences of test.txt",
        "cosine": known.get("cosine", {}),  # of what is not asked for it stays
        "seconds": known.get("seconds", {}),
    }

    def note(name: str, model: str | bytes, seconds: float) -> None:
        cosine = float((embeddings(model, held_out) * dense).sum(axis=1).mean())
        result["cosine"][name], result["seconds"][name] = round(cosine, 5), round(seconds, 2)
        print(f"{name:32} cosine {cosine:.4f}   {seconds:6.1f} s")

    with tempfile.TemporaryDirectory() as folder:
        for said in CASES:
            short = said.split("=")[1].split()[0]
            for name, seconds in compile_all(Path(folder), calibration, said).items():
                note(f"lottoc {name} {short}", str(Path(folder) / f"{name}.onnx"), seconds)
        if args.onnxsim:
            models, took = onnxsim_all(calibration)
            for name, model in models.items():
                note(f"onnxsim {name} 2:4", model, took[name])
    results.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
