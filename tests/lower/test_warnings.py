"""Warnings: the recipes people copy give none, and a decided contract is really decided."""

from __future__ import annotations

import math
import operator
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lottoc.catalog import Catalog
from lottoc.diagnostics import Findings, Source
from lottoc.engine.store import Store
from lottoc.grammar.parser import parse
from lottoc.lower.check import check
from lottoc.lower.contracts import SHARES, bounds, holds
from lottoc.lower.program import Arithmetic, Constant, Data, Metric, Number
from lottoc.signature import Layer, Signature

ROOT = Path(__file__).parents[2]
PRESETS = (ROOT / "examples" / "presets").glob("*.lotto")
SIGNATURE = Signature(
    (
        Layer("fc1", "linear", (300, 784)),
        Layer("fc2", "linear", (100, 300)),
        Layer("fc3", "linear", (20, 100)),
    )
)


class Known(Catalog):
    """Knows one signature and a data set of 4,000 examples."""

    def __init__(self) -> None:
        super().__init__(Store(Path("no-store")), deep=False)

    def signature(self, source: str, path: Path, function: str) -> tuple[Signature, str]:
        return SIGNATURE, "digest"

    def digest(self, data: Data) -> str:
        return "digest"

    def examples(self, data: Data, split: str) -> int:
        return 4000


def warned(text: str, folder: Path = Path()) -> list[str]:
    """Codes in order; the recipe has to be free of errors."""
    findings = Findings()
    program = check(parse(Source("r.lotto", text)), folder, Known(), {}, findings)
    assert program is not None, findings
    return [found.code for found in findings.diagnostics]


def documented() -> list[str]:
    """The recipes of README.md, and those of the specification that are whole."""
    readme = re.findall(r"^```\n(model .*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    spec = (ROOT / "specs" / "language.md").read_text()
    whole = re.findall(r"^```lotto\n(.*?)^```", spec, re.M | re.S)
    return readme + [
        text for text in whole if "\nemit " in text and re.search("^model", text, re.M)
    ]


def test_documented_recipes_give_no_warning() -> None:
    texts = documented()
    assert len(texts) >= 4
    assert [warned(text) for text in texts] == [[]] * len(texts)


@pytest.mark.parametrize("number", [1, 2])
def test_the_first_recipes_give_no_warning(number: int) -> None:
    (path,) = (ROOT / "tests" / "grammar" / "recipes").glob(f"{number}_*.lotto")
    assert warned(path.read_text()) == []


FITTED = {ROOT / "examples" / "subset_sum" / "subset_sum.lotto"}
"""Layers of one model that have to fit those of another, which `Known` does not know."""
EXAMPLES = sorted(set((ROOT / "examples").glob("*/*.lotto")) - set(PRESETS) - FITTED)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_give_no_warning(path: Path) -> None:
    layers = re.sub(r"layers += [^#\n]*?(?=\n|   )", "layers = all - last", path.read_text())
    assert warned(layers, path.parent) == []


HEAD = 'model net { source = torch("net.py:net") }\n'
TRAINED = HEAD + (
    'data d { train = npz("d.npz", x = "x", y = "y")   test = npz("d.npz", x = "x", y = "y") }\n'
    "training sgd { optimizer = sgd(lr = 0.1)   batch = 60   length = 300 steps }\n"
    "ticket t { layers = all   sparsity = 90%   method = imp(rounds = 2) }\n"
)
EMIT = 'emit onnx "t.onnx" { ticket = t }\n'


@pytest.mark.parametrize(
    "rest",
    [
        EMIT + "ticket c { like = t   weights = reinit }",
        EMIT + "ticket c { like = t   mask = shuffle(t) }",
        EMIT + "ticket u { layers = all   sparsity = 50% }\nrequire t.accuracy > u.accuracy - 1%",
        EMIT + "ticket u { layers = all   sparsity = 50% }\nmask m = u.mask\n"
        "ticket v { mask = m }\nrequire v.params > 3",
        "ticket u { layers = all   sparsity = 50% }",
        'emit onnx "dense.onnx" { ticket = dense }\nrequire t.loss < dense.loss * 2',
        'emit onnx "u.onnx" { ticket = u }\nticket u { like = t   sparsity = 50% }',
    ],
)
def test_what_is_meant_is_not_warned_of(rest: str) -> None:
    assert warned(TRAINED + rest) == []


def test_data_gives_a_torch_model_its_shape_without_any_training() -> None:
    data = 'data d { train = npz("d.npz", x = "x", y = "y") }\n'
    assert warned(HEAD + data + "ticket t { layers = all   sparsity = 90% }\n" + EMIT) == []


def test_a_pattern_alone_and_an_amount_alone_are_fine() -> None:
    tickets = (
        "ticket t { layers = all   pattern = 2:4 }\nticket u { layers = all   sparsity = 50% }"
    )
    assert warned(HEAD + tickets) == []
    both = "ticket t { layers = all   pattern = 2:4   compression = 2 }"
    assert warned(HEAD + both) == ["redundant-amount"]


@pytest.mark.parametrize("use", ["sparsity = half", "density = half"])
def test_every_use_of_a_param_counts(use: str) -> None:
    assert warned(f"{HEAD}param half = 50%\nticket t {{ layers = all   {use} }}") == []


METRICS = [
    Metric(ticket, name)
    for ticket in ("a", "dense")
    for name in ("accuracy", "sparsity", "loss", "params", "flops", "collapsed")
]
CONSTANTS = [-2.0, -0.5, 0.0, 0.01, 0.5, 0.9, 1.0, 2.0, 95.0, 300.0]
NUMBERS = st.recursive(
    st.sampled_from(METRICS) | st.sampled_from(CONSTANTS).map(Constant),
    lambda inner: st.builds(Arithmetic, st.sampled_from("+-*/"), inner, inner),
    max_leaves=5,
)
COMPARE = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
VALUES = {
    "share": st.sampled_from([0.0, 0.01, 0.5, 0.93, 1.0]) | st.floats(0, 1),
    "count": st.sampled_from([0.0, 1.0, 7.0, 1000.0]),
}


def value(number: Number, measured: dict[Metric, float]) -> float:
    """What a build would compute."""
    match number:
        case Constant(value=constant):
            return constant
        case Metric():
            return measured[number]
        case Arithmetic(operator=sign, left=left, right=right):
            x, y = value(left, measured), value(right, measured)
            if sign == "/":
                return x / y if y else math.nan
            return {"+": x + y, "-": x - y, "*": x * y}[sign]


MEASURED = st.fixed_dictionaries(
    {metric: VALUES["share" if metric.name in SHARES else "count"] for metric in METRICS}
)


@settings(max_examples=600, deadline=None)
@given(NUMBERS, st.sampled_from(sorted(COMPARE)), NUMBERS, MEASURED)
def test_what_is_decided_is_so_for_every_measurement(
    left: Number, sign: str, right: Number, measured: dict[Metric, float]
) -> None:
    x, y = value(left, measured), value(right, measured)
    decided = holds(sign, left, right)
    if decided is not None and not math.isnan(x) and not math.isnan(y):
        assert COMPARE[sign](x, y) == decided


@settings(max_examples=300, deadline=None)
@given(NUMBERS, MEASURED)
def test_bounds_hold_every_value(number: Number, measured: dict[Metric, float]) -> None:
    actual, (low, high) = value(number, measured), bounds(number)
    assert math.isnan(actual) or low <= actual <= high


@pytest.mark.parametrize(
    ("contract", "code"),
    [
        ("t.accuracy >= t.accuracy - 1%", "require-always"),
        ("t.loss * 2 - t.loss <= t.loss + 1", "require-always"),
        ("t.accuracy >= 0%", "require-always"),
        ("t.accuracy <= 95", "require-always"),
        ("t.accuracy != 95", "require-always"),
        ("t.accuracy + dense.accuracy <= 2", "require-always"),
        ("collapse(t) >= none", "require-always"),
        ("1 < 2", "require-always"),
    ],
)
def test_contracts_that_always_hold(contract: str, code: str) -> None:
    assert warned(f"{TRAINED}require {contract}") == [code]


@pytest.mark.parametrize(
    "contract",
    [
        "t.accuracy >= 95",
        "t.accuracy > 100%",
        "t.accuracy > t.accuracy",
        "t.accuracy - 1% >= t.accuracy",
        "t.params < 0",
        "2 < 1",
    ],
)
def test_contracts_that_never_hold_are_errors(contract: str) -> None:
    findings = Findings()
    tree = parse(Source("r.lotto", f"{TRAINED}require {contract}"))
    assert check(tree, Path(), Known(), {}, findings) is None
    assert [found.code for found in findings.errors] == ["require-never"]


@pytest.mark.parametrize(
    "contract",
    [
        "t.accuracy >= dense.accuracy - 1%",
        "t.accuracy > 0%",
        "t.accuracy < 100%",
        "t.loss <= 2 * dense.loss",
        "collapse(t) == none",
        "t.params / dense.params < 1 / 4",
        "t.accuracy * t.accuracy >= t.accuracy - 1%",
    ],
)
def test_contracts_that_may_fail_are_left_alone(contract: str) -> None:
    assert warned(f"{TRAINED}require {contract}") == []
