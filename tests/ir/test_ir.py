"""Both dialects: text round-trips, laws are verified, and specs/ir.md tells the truth."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp, StringAttr

from lottoc.diagnostics import RecipeError
from lottoc.ir.lotto import DataOp, LottoDialect
from lottoc.ir.mask import MaskDialect
from lottoc.ir.plain import from_dictionary, to_dictionary
from lottoc.ir.text import from_text, to_text
from lottoc.ir.types import DataType

SPEC = (Path(__file__).parents[2] / "specs" / "ir.md").read_text()
EXAMPLES = re.findall(r"```mlir\n(.*?)```", SPEC, re.S)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_of_the_specification_round_trip(example: str) -> None:
    text = to_text(from_text(example))
    assert to_text(from_text(text)) == text


def test_the_specification_lists_every_operation() -> None:
    listed = set(re.findall(r"`((?:lotto|mask)\.\w+)`", SPEC))
    known = {op.name for dialect in (LottoDialect, MaskDialect) for op in dialect.operations}
    assert known <= listed
    shown = {op.name for op in known_operations()}
    assert known - shown <= {"lotto.find", "lotto.and", "lotto.or", "lotto.xor"} | {
        f"mask.{name}" for name in ("or", "xor", "sub")
    }


def known_operations() -> list[type]:
    text = "\n".join(EXAMPLES)
    everything = [op for d in (LottoDialect, MaskDialect) for op in d.operations]
    return [op for op in everything if re.search(rf"{re.escape(op.name)}\b", text)]


HEAD = """
%m = lotto.model {model = "net", source = "onnx", path = "p", digest = "d",
    layers = [#lotto.layer<"fc", linear, 8x6xf32>]} : !lotto.model<"net">
%o = lotto.model {model = "other", source = "onnx", path = "p", digest = "d", layers = []}
    : !lotto.model<"other">
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%d = lotto.data {data = "x", splits = {}, digest = "d"} : !lotto.data
%1 = mask.weight "fc" of %w : !lotto.weights<"net"> -> !mask.weight<8x6>
%2 = mask.score "magnitude" %1 {layer = "fc", options = {}} : !mask.weight<8x6> -> !mask.scores<8x6>
%g = lotto.gather "gradient" %w {options = {}, layers = ["fc"]} : !lotto.statistics<"net">
%p = lotto.model {model = "twin", source = "onnx", path = "p", digest = "d",
    layers = [#lotto.layer<"fc", linear, 8x6xf32>, #lotto.layer<"head", linear, 2x8xf32>]}
    : !lotto.model<"twin">
%v = lotto.init %p seed 0 : !lotto.weights<"twin">
%5 = mask.weight "fc" of %v : !lotto.weights<"twin"> -> !mask.weight<8x6>
%6 = mask.weight "head" of %v : !lotto.weights<"twin"> -> !mask.weight<2x8>
%h = lotto.gather "gradient" %v {options = {}, layers = ["fc"]} : !lotto.statistics<"twin">
"""

INVALID = {
    "%3 = mask.keep 49 of %2 : !mask.scores<8x6> -> !mask.mask<8x6>": "cannot keep 49 of 48",
    "%3 = mask.keep 4 of %2 : !mask.scores<8x6> -> !mask.mask<6x8>": "shapes differ: 8x6, 6x8",
    "%3 = mask.keep 24 of %2 : !mask.scores<8x6> -> !mask.mask<8x6, 2:4>": (
        "pattern 2:4 does not fit 8x6: its input has 6 features, not a multiple of 4"
    ),
    "%3 = mask.keep 24 of %2 : !mask.scores<8x6> -> !mask.mask<8x6, 1:3>": (
        "1:3 keeps 16 of 48 weights, not 24"
    ),
    "%3 = mask.keep 48 of %2 : !mask.scores<8x6> -> !mask.mask<8x6, 4:3>": (
        "4:3 must keep between 1 and 3"
    ),
    "%3 = mask.keep 12 of %2 : !mask.scores<8x6> -> !mask.mask<8x6, groups(4)>": (
        "groups(4) keeps from 1 to 6 columns of 8 weights: 12 is none of these counts"
    ),
    "%3 = mask.keep 0 of %2 : !mask.scores<8x6> -> !mask.mask<8x6, groups(4)>": "0 is none of",
    "%3 = mask.keep 8 of %2 : !mask.scores<8x6> -> !mask.mask<8x6, groups(0)>": (
        "a group has from 1 to 999999999 outputs"
    ),
    "%3 = mask.keep 8 of %2 : !mask.scores<8x6> -> !mask.mask<8x6, groups(4, permute = true)>": (
        'pattern "groups(4, permute = true)" is not such as'
    ),
    "%3 = mask.keep 8 of %2 : !mask.scores<8x6> -> !mask.mask<8x6, unstructured>": "leave it out",
    "%3 = mask.keep 8 of %2 : !mask.scores<8x6> -> !mask.mask<8x6, heaps>": (
        'pattern "heaps" is not such as'
    ),
    "%3 = mask.keep_global 24 of(%2 : !mask.scores<8x6>) within() -> !mask.mask<8x6, 1:2>": (
        "1:2 counts layer by layer: use mask.keep"
    ),
    "%3, %4 = mask.keep_global 24 of(%2, %2 : !mask.scores<8x6>, !mask.scores<8x6>) within() "
    "-> !mask.mask<8x6>, !mask.mask<8x6, 1:2>": "masks of two patterns: unstructured and 1:2",
    '%3 = lotto.train %w on %d from 5 to 5 {optimizer = "keep", training = {}} '
    ': !lotto.weights<"net">': "must go forward, not from step 5 to 5",
    '%3 = lotto.train %w on %d from 0 to 5 {optimizer = "odd", training = {}} '
    ': !lotto.weights<"net">': "not fresh or keep",
    '%3 = lotto.init %o seed 0 : !lotto.weights<"net">': "",
    '%3 = mask.bundle ["a", "b"](%2 : !mask.scores<8x6>) -> !lotto.masks<"net">': "",
    '%3 = lotto.interpolate %w to %w at "3/2" on %d {training = {}} : !lotto.weights<"net">': (
        "3/2 is not between 0 and 1"
    ),
    '%3 = lotto.interpolate %w to %w at "half" on %d {training = {}} : !lotto.weights<"net">': (
        '"half" is no fraction'
    ),
    'lotto.stability "s" [0, 5] by() {points = 3, threshold = "1/50"}': (
        "0 values for 2 steps and 3 points"
    ),
    'lotto.stability "s" [0] by() {points = 3, threshold = "2"}': "threshold is 2, not between",
    '%3 = lotto.subset_sum %w toward %v {layers = ["fc"], target = ["fc"], epsilon = 0.01} '
    ': !lotto.weights<"twin"> -> !lotto.masks<"net">': "1 layers for 1 of the target",
    '%3 = lotto.subset_sum %v toward %w {layers = ["fc", "head"], target = ["fc"], epsilon = 0.1} '
    ': !lotto.weights<"net"> -> !lotto.masks<"twin">': (
        'layers of 6 → 8 and 8 → 2 cannot be pruned to "fc", 6 → 8'
    ),
    '%3 = lotto.subset_sum %v toward %w {layers = ["fc", "head"], target = ["fd"], epsilon = 0.1} '
    ': !lotto.weights<"net"> -> !lotto.masks<"twin">': 'model "net" has no layer "fd"',
    '%3 = lotto.subset_sum %v toward %m {layers = ["fc", "head"], target = ["fc"], epsilon = 0.1} '
    ': !lotto.model<"net"> -> !lotto.masks<"twin">': "what is approximated are weights",
    '%3 = lotto.subset_sum %v toward %w {layers = ["fc", "head"], target = ["fc"], epsilon = -1.0} '
    ': !lotto.weights<"net"> -> !lotto.masks<"twin">': "epsilon is below 0",
    "%3 = mask.nothing": 'there is no operation "mask.nothing"',
    "%3 = mask.keeep 4 of %2 : !mask.scores<8x6> -> !mask.mask<8x6>": 'did you mean "mask.keep"?',
    '%3 = builtin.unrealized_conversion_cast %d : !lotto.data to !lotto.weights<"net">': (
        'there is no operation "builtin.unrealized_conversion_cast"'
    ),
    '%3 = lotto.signs %4 ["fc"] : !lotto.weights<"net">\n'
    '%4 = lotto.init %m seed 0 : !lotto.weights<"net">': "uses what a later lotto.init makes",
    '%3 = lotto.signs %3 ["fc"] : !lotto.weights<"net">': "uses what a later lotto.signs makes",
    '%3 = lotto.signs %9 ["fc"] : !lotto.weights<"net">': "used but not defined",
    "builtin.module {\n}": "a module cannot stand in a module",
    '%3 = mask.weight "fd" of %w : !lotto.weights<"net"> -> !mask.weight<8x6>': (
        'model "net" has no layer "fd"'
    ),
    '%3 = mask.weight "fc" of %w : !lotto.weights<"net"> -> !mask.weight<6x8>': (
        'layer "fc" has shape 8x6, not 6x8'
    ),
    '%3 = lotto.score "magnitude" %w {options = {}, layers = ["fc", "fc"]} '
    ': !lotto.scores<"net">': 'layer "fc" is named 2 times',
    '%3 = lotto.score "magnitude" %w {options = {}, layers = []} : !lotto.scores<"net">': (
        "names no layer"
    ),
    '%3 = lotto.score "magnitude" %w {options = {a = unit}, layers = ["fc"]} '
    ': !lotto.scores<"net">': "options holds something other than plain data",
    '%3 = mask.score "magnitude" %1 {layer = "fd", options = {}} '
    ": !mask.weight<8x6> -> !mask.scores<8x6>": 'scores layer "fc" as "fd"',
    "%3 = mask.keep 4 of %2 : !mask.scores<8x6> -> !mask.mask<8x6, 1:2>": (
        "1:2 keeps 24 of 48 weights, not 4"
    ),
    "%3 = mask.keep 99999999999999999999 of %2 : !mask.scores<8x6> -> !mask.mask<8x6>": "",
    '%3 = lotto.init %m seed -1 : !lotto.weights<"net">': "seed -1 is negative",
    '%w = lotto.init %m seed 1 : !lotto.weights<"net">': "%w is already defined",
    '%3 = lotto.model {model = "net", source = "onnx", path = "p", digest = "d", layers = []} '
    ': !lotto.model<"net">': "is the name of an earlier model",
    '%3 = lotto.model {model = "nut", source = "onnx", path = "p", digest = "d", layers = []} '
    ': !lotto.model<"not">': '"nut" has the type of "not"',
    '%3 = lotto.measure "size" %2 : !lotto.masks<"net">': "",
    'lotto.ticket "t" %w shows ["accuracy"]() : !lotto.weights<"net">': "0 values for the metrics",
    '%3 = mask.weight "fc" of %w : !lotto.weights<"net"> -> !mask.weight<8x0>': (
        "is not the shape of a weight"
    ),
    '%3 = lotto.gather "gradient" %w on %d {options = {}, layers = ["fc"]} '
    ': !lotto.statistics<"net">': "data and split come together",
    '%3 = lotto.score "snip" %w {options = {}, layers = ["fc"], split = "train"} '
    ': !lotto.scores<"net">': "data and split come together",
    '%3 = lotto.proxy "snip" %w on %d {options = {}, layers = ["fd"], split = "train"} '
    ': !lotto.weights<"net">': 'model "net" has no layer "fd"',
    '%3 = lotto.proxy "snip" %w on %d {options = {a = unit}, layers = ["fc"], split = "train"} '
    ': !lotto.weights<"net">': "options holds something other than plain data",
    'lotto.rank "r" ["net"] by ["snip", "grasp"]()': "0 values for 1 models and 2 proxies",
    '%3 = lotto.gather "gradient" %w {options = {a = unit}, layers = ["fc"]} '
    ': !lotto.statistics<"net">': "options holds something other than plain data",
    '%3 = lotto.gather "gradient" %w {options = {}, layers = ["fd"]} '
    ': !lotto.statistics<"net">': 'model "net" has no layer "fd"',
    '%3 = lotto.gather "gradient" %v {options = {}, layers = ["fc"]} '
    ': !lotto.statistics<"net">': "",
    '%3 = mask.score "snip" %5 with %g {layer = "fc", options = {}} '
    ': !mask.weight<8x6>, !lotto.statistics<"net"> -> !mask.scores<8x6>': (
        'scores a weight of "twin" with what was gathered over "net"'
    ),
    '%3 = mask.score "snip" %6 with %h {layer = "head", options = {}} '
    ': !mask.weight<2x8>, !lotto.statistics<"twin"> -> !mask.scores<2x8>': (
        'nothing was gathered of layer "head"'
    ),
    '%3 = mask.score "snip" %1 with %g {layer = "fc", options = {}} '
    ": !mask.weight<8x6> -> !mask.scores<8x6>": "",
    '%3 = mask.score "snip" %1 {layer = "fc", options = {}} '
    ': !mask.weight<8x6>, !lotto.statistics<"net"> -> !mask.scores<8x6>': "",
    '%3 = "mask.bundle"() <{layers = []}> : () -> !lotto.masks<"net">': "names no layer",
    "%k = mask.keep 24 of %2 : !mask.scores<8x6> -> !mask.mask<8x6, permuted(1, 2)>": (
        "a mask of pattern permuted(1, 2) needs an order of the channels"
    ),
    "%q = mask.order 1 of 2 over(%2 : !mask.scores<8x6>) -> !mask.order<6>\n"
    "%k = mask.keep 24 of %2 ordered %q : !mask.order<6>, : !mask.scores<8x6>"
    " -> !mask.mask<8x6, 1:2>": "a mask of pattern 1:2 takes no order",
    "%q = mask.order 1 of 2 over(%2 : !mask.scores<8x6>) -> !mask.order<8>": (
        "an order of 8 channels, and axis 1 has 6"
    ),
    "%q = mask.order 2 of 5 over(%2 : !mask.scores<8x6>) -> !mask.order<6>": (
        "6 channels are no multiple of 5"
    ),
    "%q = mask.order 5 of 4 over(%2 : !mask.scores<8x6>) -> !mask.order<6>": (
        "cannot keep 5 of every 4"
    ),
    "%q = mask.order 1 of 2 over() -> !mask.order<6>": "expected ':'",
    "%q = mask.order 1 of 2 over(%2 : !mask.scores<8x6>) -> !mask.order<6>\n"
    "%k = mask.keep 24 of %2 ordered %q : !mask.order<6>, : !mask.scores<8x6>"
    " -> !mask.mask<8x6, permuted(1, 2)>\n"
    '%b = mask.bundle ["fc"](%k : !mask.mask<8x6, permuted(1, 2)>) -> !lotto.masks<"net">\n'
    'lotto.emit "onnx" "a.onnx" %w under %b {ticket = "t", options = {}} : !lotto.weights<"net">': (
        'layer "fc" is not in the order of its mask'
    ),
    "%q = mask.order 1 of 2 over(%2 : !mask.scores<8x6>) -> !mask.order<6>\n"
    'lotto.emit "onnx" "a.onnx" %w ordered by(%q : !mask.order<6>)'
    ' {ticket = "t", options = {}} : !lotto.weights<"net">': "1 orders for 0 layers",
}

PRUNE = (
    '%s = lotto.score "magnitude" %w {{options = {{}}, layers = ["fc"]}} : !lotto.scores<"net">\n'
    '%3 = lotto.prune %s {{scope = "{scope}", density = "{density}", pattern = "{pattern}", '
    'layers = ["fc"]}} : !lotto.masks<"net">'
)
for _amount in (
    {"scope": "globl"},
    {"density": "1/0"},
    {"density": "5/4"},
    {"density": "-1/4"},
    {"density": "0.5"},
    {"density": "1e999999999"},
    {"pattern": "2_4"},
    {"pattern": "4:2"},
    {"pattern": "0:4"},
):
    _text = PRUNE.format(**{"scope": "global", "density": "1/4", "pattern": "2:4"} | _amount)
    INVALID[_text] = f'{next(iter(_amount))} "{next(iter(_amount.values()))}"'


@pytest.mark.parametrize("line", INVALID, ids=range(len(INVALID)))
def test_laws_are_verified(line: str) -> None:
    with pytest.raises(RecipeError) as caught:
        from_text(HEAD + line)
    first = caught.value.diagnostics[0]
    assert first.code in ("ir-syntax", "ir-invalid")
    assert INVALID[line] in str(caught.value)
    line_number, _ = first.labels[0].span.source.position(first.labels[0].span.start)
    assert line_number > HEAD.count("\n")  # it points at what is wrong, or at the end of the text


def test_every_broken_law_is_reported() -> None:
    lines = [line for line in INVALID if INVALID[line].startswith("cannot keep")]
    with pytest.raises(RecipeError) as caught:
        from_text(HEAD + "\n".join([lines[0], lines[0].replace("%3", "%4")]))
    assert len(caught.value.diagnostics) == 2


def test_the_head_alone_is_valid() -> None:
    from_text(HEAD)


PLAIN = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(max_codepoint=0x2FF, exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True), PLAIN, max_size=5))
def test_options_survive_text(options: dict[str, object]) -> None:
    attribute = to_dictionary(options)  # type: ignore[arg-type]
    op = DataOp.build(
        properties={"data": StringAttr("x"), "splits": attribute, "digest": StringAttr("d")},
        result_types=[DataType()],
    )
    (op,) = from_text(to_text(ModuleOp([op]))).ops
    assert from_dictionary(op.splits) == options  # type: ignore[attr-defined]
