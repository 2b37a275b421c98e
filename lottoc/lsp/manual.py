"""What words mean, in the words of specs/language.md: the editor has no texts of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

_CELL = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class KeyEntry:
    """A row of a key table."""

    type: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Section:
    """A chapter about one kind of block, or about something else."""

    keys: dict[str, KeyEntry] = field(default_factory=dict)
    paragraphs: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Manual:
    """The specification, taken apart."""

    items: dict[str, str]
    """What each kind of item declares."""
    patterns: dict[str, str]
    sections: dict[str, Section]
    """By kind of block, and "metrics"."""

    def key(self, kind: str, key: str) -> KeyEntry | None:
        """What a key of a block means."""
        section = self.sections.get(kind)
        return section.keys.get(key) if section else None

    def about(self, kind: str, word: str) -> str | None:
        """The paragraph of a section that explains a word: in bold, else the first to name it."""
        section = self.sections.get(kind, Section())
        for form in (f"**`{word}`**", f"`{word}`", f"`{word}("):
            for paragraph in section.paragraphs:
                if form in paragraph:
                    return paragraph
        return None


@cache
def manual() -> Manual:
    """The specification that this installation came with; empty if it came without."""
    try:
        text = (files("lottoc") / "specs" / "language.md").read_text(encoding="utf-8")
    except OSError:
        return Manual({}, {}, {})
    return read_manual(text)


def read_manual(text: str) -> Manual:
    """Take a specification apart: its tables by their heads, its chapters by their titles."""
    items: dict[str, str] = {}
    patterns: dict[str, str] = {}
    sections: dict[str, Section] = {}
    for chapter in re.split(r"^#{2,3} ", text, flags=re.MULTILINE)[1:]:
        title, _, body = chapter.partition("\n")
        section = Section(paragraphs=_paragraphs(body))
        for head, rows in _tables(body):
            if head[:4] == ["key", "type", "default", "meaning"]:
                for row in rows:
                    for key in re.findall(r"`(\w+)`", row[0]):
                        section.keys[key] = KeyEntry(*row[1:4])
            elif head[0] == "item":
                items |= {w: row[1] for row in rows if (w := _first_word(row[0]))}
            elif head[0] == "pattern":
                patterns |= {w: row[1] for row in rows for w in _words(row[0])}
        sections[_first_word(title) or title.strip().lower()] = section
    return Manual(items, patterns, sections)


def _first_word(cell: str) -> str:
    match = re.match(r"`(\w+)", cell)
    return match[1] if match else ""


def _words(cell: str) -> list[str]:
    return re.findall(r"`([\w:]+)", cell)


def _paragraphs(body: str) -> list[str]:
    """Plain paragraphs, one line each; tables and code are left out."""
    prose = re.sub(r"^```.*?^```$", "", body, flags=re.MULTILINE | re.DOTALL)
    parts = [" ".join(part.split()) for part in re.split(r"\n\s*\n", prose)]
    return [part for part in parts if part and not part.startswith("|")]


def _tables(body: str) -> list[tuple[list[str], list[list[str]]]]:
    found = []
    for block in re.findall(r"(?:^\|.*\n?)+", body, flags=re.MULTILINE):
        rows = [_cells(line) for line in block.splitlines()]
        width = len(rows[0])
        found.append((rows[0], [row for row in rows[2:] if len(row) == width]))
    return found


def _cells(line: str) -> list[str]:
    return [cell.strip().replace(r"\|", "|") for cell in _CELL.split(line)[1:-1]]
