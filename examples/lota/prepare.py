"""Writes `order.npz` and `topic.npz`: two tasks made from the articles of WikiText-2.

    python examples/lota/prepare.py wikitext-2

`order`: do the words of a sentence stand in their order, or were they shuffled? `topic`: is a
sentence from an article on war, or from one on music, film, games or sports? What an article is on,
its words say, those of a sentence need not. Training examples are from valid.txt, test examples
from test.txt; half of each is yes. The first token after [CLS] says which task it is.
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
TASKS = {"order": 1, "topic": 2}
"""Tasks, and their tokens: [unused0] and [unused1] of BERT."""
LENGTH = 24
CLS, SEP = 101, 102
WAR = (
    "army battle war regiment navy ship ships fleet troops squadron aircraft gun guns attack"
    " brigade division infantry captain admiral cruiser destroyer"
)
ARTS = (
    "album song songs band music game games film episode series character characters released"
    " single chart player players novel video television season"
)


def articles(path: Path) -> list[list[str]]:
    """Sentences of 8 to 40 words, by article."""
    found: list[list[str]] = []
    for line in path.read_text("utf-8").splitlines():
        text = line.strip()
        if text.startswith("= ") and not text.startswith("= ="):
            found.append([])
        elif text and not text.startswith("=") and found:
            parts = [part.strip() for part in text.replace("<unk>", "[UNK]").split(" . ")]
            found[-1] += [part for part in parts if 8 <= len(part.split()) <= 40]
    return [article for article in found if article]


def order(text: list[list[str]], count: int, draw: np.random.Generator) -> tuple[list, list]:
    """Sentences, every second one with its words shuffled."""
    sentences = [sentence for article in text for sentence in article]
    chosen = [sentences[i] for i in draw.permutation(len(sentences))[:count]]
    answers = [index % 2 for index in range(len(chosen))]
    for index, yes in enumerate(answers):
        if not yes:
            chosen[index] = " ".join(draw.permutation(chosen[index].split()))
    return chosen, answers


def topic(text: list[list[str]], count: int, draw: np.random.Generator) -> tuple[list, list]:
    """Sentences of articles whose words are of one kind four times as often as of the other."""
    sentences: tuple[list[str], list[str]] = ([], [])
    for article in text:
        words = " ".join(article).lower().split()
        arts, war = (sum(word in kind.split() for word in words) for kind in (ARTS, WAR))
        if max(arts, war) >= max(8, 4 * min(arts, war)):
            sentences[war > arts].extend(article)
    chosen = [[kind[i] for i in draw.permutation(len(kind))[: count // 2]] for kind in sentences]
    mixed = [(sentence, yes) for yes in (0, 1) for sentence in chosen[yes]]
    found = [mixed[i] for i in draw.permutation(len(mixed))]
    return [sentence for sentence, _ in found], [yes for _, yes in found]


def tokens(task: str, texts: list[str]) -> np.ndarray:
    """[CLS] task, sentence, [SEP], cut to LENGTH and filled up with 0."""
    from all_minilm_l6_v2 import get_model_zip_path
    from tokenizers import Tokenizer

    text = zipfile.ZipFile(get_model_zip_path()).read("tokenizer.json").decode()
    tokenizer = Tokenizer.from_str(text)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    ids = np.zeros((len(texts), LENGTH), np.int64)
    for row, sentence in enumerate(texts):
        found = tokenizer.encode(sentence, add_special_tokens=False).ids[: LENGTH - 3]
        line = [CLS, TASKS[task], *found, SEP]
        ids[row, : len(line)] = line
    return ids


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="a folder with valid.txt and test.txt")
    parser.add_argument("-o", "--output", type=Path, default=HERE)
    parser.add_argument("--train", type=int, default=2400)
    parser.add_argument("--test", type=int, default=600)
    arguments = parser.parse_args()
    for task, make in (("order", order), ("topic", topic)):
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
