"""The long form of a diagnostic: what `specs/diagnostics.md` says of its code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_SECTION = re.compile(
    r"^## ([a-z-]+)\n\n([a-z]+)(?:, exit (\d))?: ([^\n]+)\n(.*?)(?=^## |\Z)", re.M | re.S
)
_EXAMPLE = re.compile(r"^```lotto( wrong)?\n(.*?)^```\n", re.M | re.S)


@dataclass(frozen=True)
class Explanation:
    """One code: how grave it is, the exit code it leads to, its meaning in a line, all the rest."""

    code: str
    severity: str
    exit_code: int
    meaning: str
    text: str

    @property
    def examples(self) -> list[tuple[bool, str]]:
        """Recipes, and whether each is wrong."""
        return [(bool(match[1]), match[2]) for match in _EXAMPLE.finditer(self.text)]

    def render(self) -> str:
        """The explanation for a terminal."""
        ends = f", a run that ends with it exits {self.exit_code}" if self.exit_code else ""
        body = _EXAMPLE.sub(_indented, self.text).strip()
        head = f"{self.code}: {self.meaning}\n({self.severity}{ends})"
        return f"{head}\n\n{body}" if body else head


def _indented(match: re.Match[str]) -> str:
    title = "Wrong:" if match[1] else "Right:"
    return title + "\n\n" + "".join(f"    {line}\n" for line in match[2].splitlines())


@cache
def explanations() -> dict[str, Explanation]:
    """Every explanation by its code, in the order of the page."""
    page = (files("lottoc") / "specs" / "diagnostics.md").read_text(encoding="utf-8")
    return {
        match[1]: Explanation(match[1], match[2], int(match[3] or 0), match[4], match[5])
        for match in _SECTION.finditer(page)
    }
