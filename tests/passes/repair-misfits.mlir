// RUN: not lottoc opt %s --passes lower-lotto-to-mask 2>&1 | filecheck %s
// A repair would break a pattern.
%m = lotto.model {model = "net", source = "onnx", path = "net.onnx", digest = "d", layers = [#lotto.layer<"a", linear, 8x16xf32>]} : !lotto.model<"net">
%g = lotto.wiring %m : !lotto.wiring<"net">
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%s = lotto.score "magnitude" %w {options = {}, layers = ["a"]} : !lotto.scores<"net">
%k = lotto.prune %s {scope = "global", density = "1/2", pattern = "2:4", layers = ["a"]} : !lotto.masks<"net">
%r = lotto.repair %k by %s in %g : !lotto.masks<"net">
lotto.check_signal "t" %r in %g : !lotto.masks<"net">

// CHECK: error[pass-failed]: masks of pattern 2:4 cannot be repaired: layer "a"
// CHECK: repair-misfits.mlir:8:6
