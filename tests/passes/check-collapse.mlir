// RUN: check-collapse
// A layer that must end empty is refused before any training.
%m = lotto.model {model = "net", source = "torch", path = "net.py", digest = "d", layers = [#lotto.layer<"tiny", linear, 2x3xf32>]} : !lotto.model<"net">
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%a = mask.weight "tiny" of %w : !lotto.weights<"net"> -> !mask.weight<2x3>
%s = mask.score "magnitude" %a {layer = "tiny", options = {}} : !mask.weight<2x3> -> !mask.scores<2x3>
%k = mask.keep 0 of %s : !mask.scores<2x3> -> !mask.mask<2x3>
%g1, %g2 = mask.keep_global 1 of (%s, %s : !mask.scores<2x3>, !mask.scores<2x3>) within () -> !mask.mask<2x3>, !mask.mask<2x3>

// CHECK: error[layer-collapse]: layer "tiny" would keep none of its 6 weights
// CHECK: help: prune less
// CHECK: error[layer-collapse]: 1 weights cannot keep 2 layers alive
