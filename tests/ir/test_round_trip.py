"""Printing and parsing are inverse, and lowering is idempotent, for the IR of real recipes."""

from __future__ import annotations

import pytest
from ir_texts import EXAMPLES, ir_texts

from lottoc.driver import mask_ir
from lottoc.ir.text import from_text, to_text


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return ir_texts(tmp_path_factory.mktemp("recipes"))


def test_recipes_of_examples_and_specification_compile(texts: dict[str, str]) -> None:
    assert {f"{name}-recipe" for name in ("lenet", "minilm-2of4", "minilm-90")} <= set(texts)
    assert {"lenet", "minilm-2of4", "minilm-90"} <= {example.stem for example in EXAMPLES}
    assert sum(name.startswith("specified") for name in texts) >= 4


def test_parsing_what_was_printed_prints_the_same(texts: dict[str, str]) -> None:
    for name, text in texts.items():
        assert to_text(from_text(text)) == text, name


def test_the_generic_form_says_the_same(texts: dict[str, str]) -> None:
    for name, text in texts.items():
        generic = to_text(from_text(text), generic=True)
        assert generic.startswith('"builtin.module"() ({'), name
        assert to_text(from_text(generic)) == text, name


def test_both_stages_lower_to_the_same_program(texts: dict[str, str]) -> None:
    for name, text in texts.items():
        lowered = texts[f"{name.rpartition('-')[0]}-masks"]
        assert to_text(mask_ir(from_text(text))) == lowered, name
