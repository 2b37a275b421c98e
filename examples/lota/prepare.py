"""Writes `order.npz` and `pairs.npz`: two tasks made from the articles of WikiText-2.

    python examples/lota/prepare.py wikitext-2

`order`: do the words of a sentence stand in their order, or were they shuffled? `pairs`: does the
second sentence follow the first, or is it from another article? Training examples are from
valid.txt, test examples from test.txt; half of each is yes. The first token after [CLS] says which
task it is.
"""

from __future__ import annotations

import argparse
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
TASKS = {"order": 1, "pairs": 2}
"""Tasks, and their tokens: [unused0] and [unused1] of BERT."""
LENGTH = 24
CLS, SEP = 101, 102


def articles(path: Path) -> list[list[list[str]]]:
    """Sentences of 8 to 40 words, by paragraph, by article."""
    found: list[list[list[str]]] = []
    for line in path.read_text("utf-8").splitlines():
        text = line.strip()
        if text.startswith("= ") and not text.startswith("= ="):
            found.append([])
        elif text and not text.startswith("=") and found:
            parts = [part.strip() for part in text.replace("<unk>", "[UNK]").split(" . ")]
            found[-1].append([part for part in parts if 8 <= len(part.split()) <= 40])
    return [article for article in found if any(article)]


def order(text: list[list[list[str]]], count: int, draw: np.random.Generator) -> tuple[list, list]:
    """Sentences, every second one with its words shuffled."""
    sentences = [s for article in text for paragraph in article for s in paragraph]
    chosen = [sentences[i] for i in draw.permutation(len(sentences))[:count]]
    answers = [index % 2 for index in range(len(chosen))]
    shuffled = [
        s if yes else " ".join(draw.permutation(s.split()))
        for s, yes in zip(chosen, answers, strict=True)
    ]
    return [[s] for s in shuffled], answers


def pairs(text: list[list[list[str]]], count: int, draw: np.random.Generator) -> tuple[list, list]:
    """Neighbours in a paragraph, every second pair with the second from another article."""
    there = [
        (number, one, two)
        for number, article in enumerate(text)
        for paragraph in article
        for one, two in pairwise(paragraph)
    ]
    chosen = [there[i] for i in draw.permutation(len(there))[:count]]
    answers = [index % 2 for index in range(len(chosen))]
    found = []
    for (number, one, two), yes in zip(chosen, answers, strict=True):
        while not yes:
            other, _, two = there[draw.integers(len(there))]
            if other != number:
                break
        found.append([one, two])
    return found, answers


def tokens(task: str, texts: list[list[str]]) -> np.ndarray:
    """[CLS] task, sentence [SEP] (sentence [SEP]), cut to LENGTH and filled up with 0."""
    from all_minilm_l6_v2 import get_model_zip_path
    from tokenizers import Tokenizer

    text = zipfile.ZipFile(get_model_zip_path()).read("tokenizer.json").decode()
    tokenizer = Tokenizer.from_str(text)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    ids = np.zeros((len(texts), LENGTH), np.int64)
    for row, parts in enumerate(texts):
        room = (LENGTH - 2 - len(parts)) // len(parts)
        line = [CLS, TASKS[task]]
        for part in parts:
            line += [*tokenizer.encode(part, add_special_tokens=False).ids[:room], SEP]
        ids[row, : len(line)] = line
    return ids


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="a folder with valid.txt and test.txt")
    parser.add_argument("-o", "--output", type=Path, default=HERE)
    parser.add_argument("--train", type=int, default=3200)
    parser.add_argument("--test", type=int, default=800)
    arguments = parser.parse_args()
    for task, make in (("order", order), ("pairs", pairs)):
        arrays = {}
        for split, count, file, seed in (
            ("train", arguments.train, "valid.txt", 0),
            ("test", arguments.test, "test.txt", 1),
        ):
            text = articles(arguments.source / file)
            texts, answers = make(text, count, np.random.default_rng(seed))
            arrays[f"x_{split}"] = tokens(task, texts)
            arrays[f"y_{split}"] = np.array(answers, np.int64)
        np.savez(arguments.output / f"{task}.npz", **arrays)
        sizes = ", ".join(f"{len(arrays[f'y_{s}'])} {s}" for s in ("train", "test"))
        print(f"{arguments.output / task}.npz: {sizes}")


if __name__ == "__main__":
    main()
