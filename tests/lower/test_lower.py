"""Lowering: the recipes of the language become the programs they describe."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from lottoc.diagnostics import Findings, RecipeError, Source
from lottoc.grammar.parser import parse, parse_value
from lottoc.ir import lotto
from lottoc.lower.check import check
from lottoc.lower.given import derived_seed
from lottoc.lower.program import Data, MaskOf, MaskShuffle, Program, Start
from lottoc.lower.to_ir import lower
from lottoc.methods.imp import Imp
from lottoc.methods.lab import Duration
from lottoc.signature import Layer, Signature

LENET = Signature(
    (
        Layer("fc1", "linear", (300, 784)),
        Layer("fc2", "linear", (100, 300)),
        Layer("fc3", "linear", (10, 100)),
    )
)
CONVNET = Signature(
    (
        Layer("stem", "conv", (16, 3, 3, 3)),
        Layer("block.0.conv", "conv", (32, 16, 3, 3)),
        Layer("block.1.conv", "conv", (64, 32, 3, 3)),
        Layer("head", "linear", (10, 64)),
    )
)


class Known:
    """Knows one signature and a data set of 4,000 examples."""

    def __init__(self, signature: Signature) -> None:
        self.known = signature

    def signature(self, source: str, path: Path, function: str) -> tuple[Signature, str]:
        return self.known, "digest"

    def digest(self, data: Data) -> str:
        return "digest"

    def examples(self, data: Data, split: str) -> int:
        return 4000


HEAD = """
model net { source = torch("net.py:net")   seed = 0 }
data d { train = npz("d.npz", x = "x", y = "y")   test = npz("t.npz", x = "x", y = "y") }
training sgd { optimizer = sgd(lr = 0.1)   batch = 60   length = 3000 steps }
"""


def program(text: str, signature: Signature = LENET, **defines: str) -> Program:
    findings = Findings()
    values = {name: parse_value(Source(f"-D {name}", value)) for name, value in defines.items()}
    known = Known(signature)
    result = check(parse(Source("r.lotto", text)), Path(), known, values, findings)
    findings.raise_errors()
    assert result is not None
    return result


def layers(selection: str, signature: Signature = CONVNET) -> list[str]:
    text = f"{HEAD}\nticket t {{ layers = {selection}   sparsity = 50% }}"
    found = program(text, signature).tickets["t"].found
    assert found is not None
    return [layer.name for layer in found.layers]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ("all", ["stem", "block.0.conv", "block.1.conv", "head"]),
        ("conv", ["stem", "block.0.conv", "block.1.conv"]),
        ("linear", ["head"]),
        ("first", ["stem"]),
        ("last", ["head"]),
        ("all - first - last", ["block.0.conv", "block.1.conv"]),
        ('"block.*"', ["block.0.conv", "block.1.conv"]),
        ('["head", "stem"]', ["stem", "head"]),
        ("conv & size(>= 4608)", ["block.0.conv", "block.1.conv"]),
        ("size(< 641)", ["stem", "head"]),
        ('linear | "stem"', ["stem", "head"]),
        ("all - (first | last)", ["block.0.conv", "block.1.conv"]),
    ],
)
def test_selections(selection: str, expected: list[str]) -> None:
    assert layers(selection) == expected


@pytest.mark.parametrize(
    "amount", ["sparsity = 90%", "sparsity = 0.9", "density = 10%", "compression = 10"]
)
def test_three_ways_to_say_how_much(amount: str) -> None:
    found = program(f"{HEAD}\nticket t {{ layers = all   {amount} }}").tickets["t"].found
    assert found is not None
    assert found.density == Fraction(1, 10)


def test_recipe_two_means_what_it_says() -> None:
    text = (Path(__file__).parents[2] / "examples" / "lenet" / "lenet.lotto").read_text()
    result = program(text, target="90%")
    winning = result.tickets["winning"].found
    assert winning is not None
    assert [layer.name for layer in winning.layers] == ["fc1", "fc2"]
    assert (winning.scope, winning.density) == ("global", Fraction(1, 10))
    assert winning.method == Imp(rounds=14, rewind=Duration(100, "steps"))
    assert result.tickets["random_init"].mask == MaskOf("winning")
    assert result.tickets["random_init"].start == Start("reinit", 1)
    assert result.tickets["signs"].start == Start("signs")
    assert result.tickets["shuffled"].mask == MaskShuffle(MaskOf("winning"), 0)
    assert result.tickets["shuffled"].like == "winning"


def test_like_without_mask_or_weights_finds_a_ticket_of_its_own() -> None:
    text = (
        f"{HEAD}\nticket a {{ layers = all sparsity = 50% }}\nticket b {{ like = a density = 10% }}"
    )
    found = program(text).tickets["b"].found
    assert found is not None
    assert found.density == Fraction(1, 10)
    assert [layer.name for layer in found.layers] == ["fc1", "fc2", "fc3"]


def trains(text: str, signature: Signature = LENET) -> list[tuple[int, int]]:
    module = lower(program(text, signature), Known(signature))
    module.verify()
    return [
        (op.first.value.data, op.last.value.data)
        for op in module.ops
        if isinstance(op, lotto.TrainOp)
    ]


def test_controls_start_where_the_literature_starts_them() -> None:
    """Fresh weights train all T steps; a shuffled mask starts from θ_k like the ticket."""
    text = f"""{HEAD}
ticket w {{ layers = all sparsity = 50% method = imp(rounds = 1, rewind = 100 steps) }}
ticket r {{ like = w   weights = reinit }}
ticket s {{ like = w   mask = shuffle(w) }}
ticket m {{ mask = w.mask }}"""
    assert trains(text) == [(0, 3000), (0, 3000), (100, 3000), (0, 3000)]  # dense, r, s, m


def test_epochs_become_steps() -> None:
    """4,000 examples in batches of 60 are 67 steps an epoch, the last one short."""
    text = HEAD.replace("3000 steps", "2 epochs")
    text += "ticket t { layers = all sparsity = 50% method = imp(rounds = 1, rewind = 1 epoch) }"
    module = lower(program(text), Known(LENET))
    (find,) = [op for op in module.ops if isinstance(op, lotto.FindOp)]
    assert "rewind = 67" in str(find.options)
    assert trains(text) == [(0, 134)]


def test_a_rewind_past_the_end_across_units_is_found() -> None:
    text = HEAD.replace("3000 steps", "1 epoch")
    text += "ticket t { layers = all sparsity = 50% method = imp(rounds = 1, rewind = 67 steps) }"
    with pytest.raises(RecipeError, match="rewind-past-end"):
        lower(program(text), Known(LENET))


def test_mask_algebra() -> None:
    text = f"""{HEAD}
ticket a {{ layers = all sparsity = 50% }}
ticket b {{ layers = all sparsity = 50% criterion = random }}
mask both = a.mask & ~b.mask
ticket c {{ mask = both - shuffle(a, seed = 3) }}"""
    module = lower(program(text), Known(LENET))
    names = [op.name for op in module.ops]
    for name in ("lotto.and", "lotto.not", "lotto.sub", "lotto.shuffle"):
        assert names.count(name) == 1


def test_seeds_of_different_purposes_differ() -> None:
    assert (
        derived_seed("reinit", 0, 1) != derived_seed("reinit", 1, 0) != derived_seed("shuffle", 1)
    )
    assert derived_seed("reinit", 0, 1) == derived_seed("reinit", 0, 1)


def test_requirements_keep_percent_as_points() -> None:
    text = f"{HEAD}\nticket a {{ layers = all sparsity = 50% }}\n"
    text += "require a.accuracy >= dense.accuracy - 1%"
    module = lower(program(text), Known(LENET))
    assert "arith.constant 1.000000e-02" in str(module)
