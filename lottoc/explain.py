"""The long form of a diagnostic: what `specs/diagnostics.md` says of its code."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from lottoc.diagnostics import Diagnostic, RecipeError, did_you_mean

_SECTION = re.compile(
    r"^## ([a-z-]+)\n\n([a-z]+)(?:, exit (\d))?: ([^\n]+)\n(.*?)(?=^## |\Z)", re.M | re.S
)
_EXAMPLE = re.compile(r"^```lotto( wrong)?\n(.*?)^```\n?", re.M | re.S)
_WIDTH = 80


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
        """The explanation for a terminal, its prose 80 columns wide."""
        ends = f", a run that ends with it exits {self.exit_code}" if self.exit_code else ""
        prose = _EXAMPLE.sub("", self.text)
        paragraphs = [" ".join(part.split()) for part in prose.split("\n\n") if part.strip()]
        parts = [f"{self.code}: {self.meaning}\n({self.severity}{ends})"]
        parts += [textwrap.fill(part, _WIDTH, break_on_hyphens=False) for part in paragraphs]
        parts += [_indented(wrong, recipe) for wrong, recipe in self.examples]
        return "\n\n".join(parts)


def _indented(wrong: bool, recipe: str) -> str:
    return f"{'Wrong' if wrong else 'Right'}:\n\n{textwrap.indent(recipe.rstrip(), '    ')}"


@cache
def explanations() -> dict[str, Explanation]:
    """Every explanation by its code, in the order of the page."""
    page = (files("lottoc") / "specs" / "diagnostics.md").read_text(encoding="utf-8")
    return {
        match[1]: Explanation(match[1], match[2], int(match[3] or 0), match[4], match[5])
        for match in _SECTION.finditer(page)
    }


def explain(code: str) -> str:
    """What there is to say of a code, which may be given as it was printed: `error[nm-axis]`.

    Raises `RecipeError` (unknown-code) with the nearest code that there is.
    """
    known = explanations()
    printed = re.fullmatch(r"\w+\[(.+?)\]:?", code.strip())
    meant = (printed[1] if printed else code).strip().lower().replace("_", "-")
    if meant in known:
        return known[meant].render()
    message = f'there is no diagnostic "{code}"'
    nearest = [line for line in did_you_mean(meant, known) if line.startswith("did you mean")]
    help = (*nearest, "lottoc explain  lists them all")
    raise RecipeError([Diagnostic("unknown-code", message, help=help)])
