"""Text as examples of equal length, with the model's own tokenizer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lottoc.diagnostics import input_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class TextSource:
    """A text file, cut into examples of `length` tokens; `samples` = 0 means all there are.

    `consecutive` examples follow one another from the beginning, a rest shorter than `length` is
    left out; otherwise each begins at a place drawn from `seed`.
    """

    file: Path
    length: int
    samples: int
    seed: int = 0
    tokenizer: Path | None = None
    consecutive: bool = False


def text_digest(source: TextSource) -> str:
    """SHA-256 over the text, the tokenizer if it is named, and how it is cut.

    Raises `InputError`: data-not-found.
    """
    said = f"{source.length} {source.samples} {source.seed} {source.consecutive}"
    parts = [_read(source.file)]
    if source.tokenizer is not None:
        parts.append(_read(source.tokenizer))
    digests = [hashlib.sha256(part).hexdigest() for part in parts]
    return hashlib.sha256("\n".join([said, *digests]).encode()).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise input_error(
            "data-not-found",
            f"cannot read the data: {error.strerror or error}",
            file=str(path),
            help=["paths in a recipe are relative to the recipe's own folder"],
        ) from error


def windows(source: TextSource, tokenizer: str | None) -> NDArray[np.int64]:
    """Token ids, [examples, length].

    `tokenizer` is the text of the model's tokenizer.json, used unless the source names its own.
    The text is tokenized as one, without the tokens that a tokenizer adds around a sentence (Sun
    et al. 2024 and Frantar & Alistarh 2023 cut their calibration examples and tests so).

    Raises `InputError`: tokenizer-missing, tokenizer-invalid, text-too-short, data-not-found,
    hf-missing.
    """
    import numpy as np

    from lottoc.masks.mask import stream

    ids = _tokens(source, tokenizer)
    if len(ids) < source.length:
        raise input_error(
            "text-too-short",
            f"the text has {len(ids)} tokens, and one example needs {source.length}",
            file=str(source.file),
            help=["use a longer text, or a smaller  length"],
        )
    whole = len(ids) // source.length
    if source.consecutive:
        count = min(source.samples or whole, whole)
        return ids[: count * source.length].reshape(count, source.length)
    places = len(ids) - source.length + 1
    raw = stream(source.seed, "text").bit_generator.random_raw(source.samples or whole)
    starts = (raw % np.uint64(places)).astype(np.int64)
    return np.stack([ids[start : start + source.length] for start in starts])


def _tokens(source: TextSource, tokenizer: str | None) -> NDArray[np.int64]:
    import numpy as np

    made = load_tokenizer(source, tokenizer)
    text = _read(source.file).decode("utf-8", errors="replace")
    ids = made.encode(text, add_special_tokens=False).ids
    return np.asarray(ids, np.int64)


def load_tokenizer(source: TextSource, tokenizer: str | None) -> Any:
    """The tokenizer of a text, from its own file or the model's."""
    if source.tokenizer is not None:
        tokenizer = _read(source.tokenizer).decode("utf-8", errors="replace")
    if tokenizer is None:
        raise input_error(
            "tokenizer-missing",
            "the model comes without a tokenizer, so the text cannot become tokens",
            file=str(source.file),
            help=['name one:  text("file.txt", tokenizer = "tokenizer.json", …)'],
        )
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise hf_missing("text", "tokenizers") from error
    try:
        made = Tokenizer.from_str(tokenizer)
    except Exception as error:  # the library raises plain exceptions
        raise input_error(
            "tokenizer-invalid",
            f"the tokenizer cannot be read: {error}",
            file=str(source.tokenizer or source.file),
            help=["a tokenizer.json is wanted, as the tokenizers library writes it"],
        ) from error
    made.no_truncation()
    made.no_padding()
    return made


def hf_missing(what: str, package: str) -> Exception:
    """The libraries of Hugging Face are not installed."""
    return input_error(
        "hf-missing",
        f"{what} needs the package {package}, which is not installed",
        help=['install it with  pip install "lottoc[hf]"'],
    )
