"""Coverage-guided fuzzing of the front half: parser, checker, recovery and formatter.

    pip install "lottoc[fuzz]"
    python tests/fuzz/front.py [--seconds 3600] [--corpus FOLDER]

Begins with every recipe of the examples and tests, keeps in the corpus what reaches new code, and
ends with an error, and the recipe in `crash-*`, at the first recipe that is answered by a
traceback, too late, or otherwise than `tests/grammar/mutations.py` demands.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-not-found]

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "grammar")]

with atheris.instrument_imports(include=["lottoc"]):
    import mutations
    from onnx_toys import build
    from random_recipes import RECIPES, WORDS

SLOWER = 5.0
"""Seconds an answer may take under instrumentation."""


def begin(corpus: Path, dictionary: Path) -> None:
    """Write the first recipes, and the words that mutations may insert."""
    corpus.mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(RECIPES):
        (corpus / f"recipe-{number}").write_bytes(text.encode())
    escaped = ("".join(f"\\x{byte:02x}" for byte in word.encode()) for word in WORDS)
    dictionary.write_text("".join(f'"{word}"\n' for word in escaped))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--corpus", type=Path)
    arguments = parser.parse_args()
    mutations.SECONDS = SLOWER
    # The fuzzer ends the process: this folder is left behind, as is all below /tmp.
    folder = Path(tempfile.mkdtemp(prefix="lottoc-fuzz-"))
    toy = build("gemm", 64, 64)
    mutations.make_folder(folder, lambda file: toy.save(file.parent, file.name))
    corpus = arguments.corpus or folder / "corpus"
    begin(corpus, folder / "words")
    options = [
        f"-max_total_time={arguments.seconds}",
        f"-dict={folder / 'words'}",
        "-max_len=4000",
        "-timeout=20",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], lambda data: mutations.answer(data, folder))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
