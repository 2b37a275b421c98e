// RUN: not lottoc opt %s --passes lower-lotto-to-mask 2>&1 | filecheck %s
// Tiles must cover the weight of every layer.
%m = lotto.model {model = "net", source = "onnx", path = "net.onnx", digest = "d", layers = [#lotto.layer<"a", linear, 8x16xf32>, #lotto.layer<"b", linear, 10x16xf32>]} : !lotto.model<"net">
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%s = lotto.score "magnitude" %w {options = {}, layers = ["a", "b"]} : !lotto.scores<"net">
%k = lotto.prune %s {scope = "global", density = "1/2", pattern = "block(4, 4)", layers = ["a", "b"]} : !lotto.masks<"net">
lotto.ticket "t" %w under %k shows []() : !lotto.weights<"net">

// CHECK: error[pass-failed]: pattern block(4, 4) does not fit layer "b": its output has 10 features, not a multiple of 4
// CHECK: lower-block-misfit.mlir:6:6
