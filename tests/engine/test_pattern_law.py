"""A mask that is not what its type says never comes out of the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from lottoc.diagnostics import Findings, RecipeError
from lottoc.driver import mask_ir, recipe_ir
from lottoc.engine.evaluate import Engine
from lottoc.engine.store import Store
from lottoc.front import Request, front
from lottoc.ir.text import from_text, to_text
from lottoc.masks import select
from lottoc.masks.select import Bools
from lottoc.progress import Silent


def text_of(project: Path) -> tuple[str, Store]:
    request = Request(project / "pruned.lotto", Store(project / "s"))
    _, program = front(request, Findings(), deep=True)
    return to_text(mask_ir(recipe_ir(request, program))), request.store


def test_a_selection_that_breaks_the_law_of_its_pattern(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = select.keep_n_of_m

    def moved(*arguments: object) -> Bools:
        """As many weights, four in one place and none in another."""
        result = honest(*arguments)  # type: ignore[arg-type]
        result[0, :4], result[0, 4:8] = True, False
        return result

    text, store = text_of(project)
    monkeypatch.setattr(select, "keep_n_of_m", moved)
    with pytest.raises(AssertionError, match="should be 2:4 is not"):
        Engine(store, Silent()).run(from_text(text))
    assert not list((project / "s").glob("*/*.masks"))


def test_a_mask_within_one_that_holds_none_of_the_pattern(project: Path) -> None:
    """The 20 best weights of a layer have no two of every four in them; all 512 have."""
    text, store = text_of(project)
    (line,) = [x for x in text.splitlines() if "mask.keep" in x and "32x16" in x]
    scores = line.split(" of ")[1].split()[0]
    for kept in (20, 512):
        made = f"  %all = mask.keep {kept} of {scores} : !mask.scores<32x16> -> !mask.mask<32x16>"
        within = line.replace(" : ", " within %all : !mask.mask<32x16>, : ", 1)
        module = from_text(text.replace(line, f"{made}\n{within}"))
        engine = Engine(store, Silent())
        if kept == 20:
            with pytest.raises(RecipeError) as caught:
                engine.run(module)
            (found,) = caught.value.diagnostics
            assert found.code == "ir-not-runnable"
            assert found.message.endswith("no mask of pattern 2:4 in it that keeps 256 weights")
            span = found.labels[0].span
            assert span.source.text[span.start :].startswith("mask.keep 256")
        else:
            engine.run(module)
