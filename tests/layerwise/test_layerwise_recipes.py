"""Recipes with criteria that look at activations, compiled whole."""

import numpy as np
import pytest
from papers import output_error, sparsegpt, wanda_mask
from small_networks import inputs_of, residual_onnx, words

from lottoc.diagnostics import Findings, LottoError
from lottoc.driver import begin, compile_recipe, mask_ir
from lottoc.engine.evaluate import Engine
from lottoc.engine.store import Store
from lottoc.front import Request
from lottoc.frontends.onnx_model import open_onnx
from lottoc.ir import lotto
from lottoc.progress import Silent

MODEL = 'model net { source = onnx("net.onnx") }\n'
DATA = 'data c { calibration = npz("c.npz", x = "x", y = "y") }\n'


@pytest.fixture
def folder(tmp_path):
    residual_onnx(tmp_path / "net.onnx")
    x = np.random.default_rng(5).standard_normal((60, 16)).astype(np.float32)
    np.savez(tmp_path / "c.npz", x=x, y=np.zeros(60, np.int64))
    return tmp_path


def compile_(folder, text, store="store"):
    (folder / "r.lotto").write_text(text)
    request = Request(folder / "r.lotto", Store(folder / store), {}, Silent())
    return compile_recipe(request, folder / "out", Findings())


def engine_of(folder, text):
    (folder / "r.lotto").write_text(text)
    request = Request(folder / "r.lotto", Store(folder / "store"), {}, Silent())
    module = mask_ir(begin(request, Findings()).module)
    engine = Engine(request.store, request.progress)
    engine.run(module)
    tickets = {op.ticket.data: op for op in module.ops if isinstance(op, lotto.TicketOp)}
    return module, engine, tickets


def refusal(folder, text):
    with pytest.raises(LottoError) as caught:
        compile_(folder, text)
    return caught.value.diagnostics[0].code


def dense_inputs(folder):
    model = open_onnx(folder / "net.onnx")
    weights = {layer.name: model.layer(layer.name) for layer in model.signature}
    with np.load(folder / "c.npz") as data:
        return weights, inputs_of(weights, data["x"])


def test_wanda_masks_are_exactly_the_papers(folder):
    weights, given = dense_inputs(folder)
    ticket = "ticket t { layers = linear   criterion = wanda   pattern = 2:4 }\n"
    _, engine, tickets = engine_of(folder, MODEL + DATA + ticket)
    masks = engine.value(tickets["t"].masks)
    for name, weight in weights.items():
        expected = wanda_mask(weight, given[name], nm=(2, 4))
        np.testing.assert_array_equal(masks[name].to_bool(), expected)


def test_wanda_compares_within_each_output_as_published(folder):
    weights, given = dense_inputs(folder)
    ticket = "ticket t { layers = linear   criterion = wanda   sparsity = 50% }\n"
    _, engine, tickets = engine_of(folder, MODEL + DATA + ticket)
    masks = engine.value(tickets["t"].masks)
    for name, weight in weights.items():
        expected = wanda_mask(weight, given[name], weight.shape[1] // 2)
        np.testing.assert_array_equal(masks[name].to_bool(), expected)


def test_the_network_runs_once_for_all_tickets(folder):
    tickets = "".join(
        f"ticket t{s} {{ layers = linear   criterion = wanda   scope = uniform   "
        f"sparsity = {s}% }}\n"
        for s in (50, 60, 70)
    )
    module, _, _ = engine_of(folder, MODEL + DATA + tickets)
    assert sum(isinstance(op, lotto.GatherOp) for op in module.ops) == 1


def test_sparsegpt_walks_as_the_paper_does_and_its_weights_are_shipped(folder):
    text = MODEL + DATA + "ticket t { layers = linear   criterion = sparsegpt   pattern = 2:4 }\n"
    _, engine, tickets = engine_of(folder, text)
    masks = engine.value(tickets["t"].masks)
    weights, _ = dense_inputs(folder)
    pruned = dict(weights)
    with np.load(folder / "c.npz") as data:
        x = data["x"]
    module, engine, tickets = engine_of(folder, text)
    (op,) = (o for o in module.ops if isinstance(o, lotto.ReconstructOp))
    found = engine.value(op.result)
    for name, weight in weights.items():
        given = inputs_of(pruned, x)[name]  # of the pruned layers before it
        reference, _ = sparsegpt(weight, given, nm=(2, 4))
        ours = found.layer(name)
        error = output_error(weight, ours, given)
        assert error == pytest.approx(output_error(weight, reference, given), rel=0.01)
        assert (ours[~masks[name].to_bool()] == 0).all()
        pruned[name] = ours
    compile_(folder, text + 'emit onnx "a.onnx" { ticket = t   format = dense }\n')
    written = open_onnx(folder / "out" / "a.onnx")
    for name in weights:
        np.testing.assert_array_equal(written.layer(name), found.layer(name))


def test_masks_of_sparsegpt_have_an_algebra(folder):
    text = MODEL + DATA + "ticket a { layers = linear   criterion = sparsegpt   pattern = 2:4 }\n"
    text += "ticket b { layers = linear   criterion = wanda   pattern = 2:4 }\n"
    text += "mask m = a.mask & b.mask\nticket both { mask = m }\n"
    _, engine, tickets = engine_of(folder, text)
    a, b, c = (engine.value(tickets[name].masks) for name in ("a", "b", "both"))
    for name in c:
        assert c[name] == a[name] & b[name]


@pytest.mark.parametrize("pattern", ["unstructured", "groups(4)"])
def test_counts_of_sparsegpt_are_exact(folder, pattern):
    ticket = f"criterion = sparsegpt   pattern = {pattern}   sparsity = 37.5%"
    _, engine, tickets = engine_of(
        folder, f"{MODEL}{DATA}ticket t {{ layers = linear   {ticket} }}"
    )
    masks = engine.value(tickets["t"].masks)
    size = sum(mask.size for mask in masks.values())
    assert sum(mask.kept for mask in masks.values()) == size - size * 3 // 8


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(folder, monkeypatch):
    from lottoc.layerwise import reconstruct

    text = MODEL + DATA + "ticket t { layers = linear   criterion = sparsegpt   pattern = 2:4 }\n"
    text += 'emit onnx "a.onnx" { ticket = t }\n'
    compile_(folder, text, "other")
    expected = (folder / "out" / "a.onnx").read_bytes()
    solved = []

    class Killed(BaseException):
        pass

    measure = reconstruct.measure

    def counting(stage, make):
        if len(solved) == 3:
            raise Killed
        solved.append(list(stage.groups))
        return measure(stage, make)

    monkeypatch.setattr(reconstruct, "measure", counting)
    with pytest.raises(Killed):
        compile_(folder, text)
    assert len(solved) == 3
    solved[:] = [None] * 10  # never killed again
    compile_(folder, text)
    assert len(solved) == 10 + 3  # of six stages three were there
    assert (folder / "out" / "a.onnx").read_bytes() == expected


def test_equal_bytes_for_equal_inputs(folder):
    text = MODEL + DATA + "ticket t { layers = linear   criterion = sparsegpt   pattern = 2:4 }\n"
    text += 'emit onnx "a.onnx" { ticket = t }\n'
    compile_(folder, text, "one")
    first = (folder / "out" / "a.onnx").read_bytes()
    compile_(folder, text, "two")
    assert (folder / "out" / "a.onnx").read_bytes() == first


def test_no_torch_for_onnx(folder):
    import subprocess
    import sys

    text = MODEL + DATA + "ticket t { layers = linear   criterion = sparsegpt   pattern = 2:4 }\n"
    (folder / "r.lotto").write_text(text + 'emit onnx "a.onnx" { ticket = t }\n')
    code = (
        "import sys; sys.modules['torch'] = None; from lottoc.cli import main; "
        f"sys.argv = ['lottoc', 'compile', {str(folder / 'r.lotto')!r}, '-o', "
        f"{str(folder / 'o')!r}, '--store', {str(folder / 's')!r}, '--quiet']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


SPARSEGPT = "ticket t { layers = linear   criterion = sparsegpt   pattern = 2:4 }\n"


def test_refusals_of_recipes(folder):
    assert refusal(folder, MODEL + SPARSEGPT) == "needs-data"
    wrong = SPARSEGPT.replace("pattern = 2:4", "sparsity = 50%   scope = global")
    assert refusal(folder, MODEL + DATA + wrong) == "scope-criterion"
    wrong = SPARSEGPT.replace("pattern = 2:4", "pattern = 2:4   method = imp(rounds = 2)")
    assert refusal(folder, MODEL + DATA + wrong) == "needs-training"
    wrong = SPARSEGPT.replace("sparsegpt", "sparsegpt(block = 0)")
    assert refusal(folder, MODEL + DATA + wrong) == "out-of-range"
    data = 'data c { calibration = npz("c.npz", z = "x") }\n'
    assert refusal(folder, MODEL + data + SPARSEGPT) == "onnx-inputs"
    data = 'data c { calibration = text("t.txt", length = 8) }\n'
    words(folder / "t.txt", 30)
    assert refusal(folder, MODEL + data + SPARSEGPT) == "tokenizer-missing"
    assert refusal(folder, MODEL + 'data c { test = npz("c.npz") }\n' + SPARSEGPT) == "missing-key"


def test_activations_that_are_not_finite(folder):
    import onnx

    model = onnx.load(folder / "net.onnx")
    weight = onnx.numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight[0, 0] = np.nan
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, "0.a.weight"))
    onnx.save(model, folder / "net.onnx")
    assert refusal(folder, MODEL + DATA + SPARSEGPT) == "not-finite"
    ticket = 'ticket t { layers = "1.*"   criterion = sparsegpt   pattern = 2:4 }\n'
    assert refusal(folder, MODEL + DATA + ticket) == "activations-not-finite"


@pytest.mark.parametrize("criterion", ["wanda", "sparsegpt", "obs"])
def test_layers_that_never_fire_are_pruned_by_magnitude(folder, criterion):
    np.savez(folder / "c.npz", x=np.zeros((20, 16), np.float32), y=np.zeros(20, np.int64))
    weights, _ = dense_inputs(folder)
    ticket = f"ticket t {{ layers = linear   criterion = {criterion}   pattern = 2:4 }}\n"
    _, engine, tickets = engine_of(folder, MODEL + DATA + ticket)
    masks = engine.value(tickets["t"].masks)
    for name, weight in weights.items():
        kept = wanda_mask(weight, np.ones((1, weight.shape[1])), nm=(2, 4))
        np.testing.assert_array_equal(masks[name].to_bool(), kept)


@pytest.mark.parametrize("scope", ["owl", "error"])
def test_scopes_that_scores_decide(folder, scope):
    from lottoc.masks.shares import RULES

    ticket = f"layers = linear   criterion = wanda   scope = {scope}   sparsity = 60%"
    _, engine, tickets = engine_of(folder, f"{MODEL}{DATA}ticket t {{ {ticket} }}")
    masks = engine.value(tickets["t"].masks)
    size = sum(mask.size for mask in masks.values())
    assert sum(mask.kept for mask in masks.values()) == size - size * 3 // 5
    weights, given = dense_inputs(folder)
    scores = [np.abs(weights[name]) * np.sqrt((given[name] ** 2).mean(axis=0)) for name in masks]
    from fractions import Fraction

    counts = RULES[scope](scores, Fraction(2, 5))
    found = [mask.kept for mask in masks.values()]
    assert np.abs(np.array(found) - counts).max() <= 2  # inputs are float32 there
    assert len(set(found)) > 2
    assert refusal(folder, MODEL + DATA + ticket_of("sparsegpt", scope)) == "scope-criterion"


def ticket_of(criterion, scope):
    return (
        f"ticket t {{ layers = linear   criterion = {criterion}   scope = {scope}   "
        "sparsity = 60% }\n"
    )


def test_fewer_examples_than_inputs_and_no_damping(folder):
    """H is singular: damping is raised until it is not, and counts stay exact."""
    x = np.random.default_rng(5).standard_normal((3, 16)).astype(np.float32)
    np.savez(folder / "c.npz", x=x, y=np.zeros(3, np.int64))
    ticket = "layers = linear   criterion = sparsegpt(damping = 0)   pattern = 2:4"
    _, engine, tickets = engine_of(folder, f"{MODEL}{DATA}ticket t {{ {ticket} }}")
    for mask in engine.value(tickets["t"].masks).values():
        assert mask.kept * 2 == mask.size
