// RUN: not lottoc opt %s --passes lower-lotto-to-mask 2>&1 | filecheck %s
// Mask algebra is weight by weight, so both sides have the same layers.
%m = lotto.model {model = "net", source = "onnx", path = "net.onnx", digest = "d", layers = [#lotto.layer<"a", linear, 8x16xf32>, #lotto.layer<"b", linear, 8x16xf32>]} : !lotto.model<"net">
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%s = lotto.score "magnitude" %w {options = {}, layers = ["a", "b"]} : !lotto.scores<"net">
%x = lotto.prune %s {scope = "erk", density = "1/4", pattern = "unstructured", layers = ["a"]} : !lotto.masks<"net">
%y = lotto.prune %s {scope = "uniform", density = "1/4", pattern = "unstructured", layers = ["a", "b"]} : !lotto.masks<"net">
%z = lotto.and %x, %y : !lotto.masks<"net">

// CHECK: error[pass-failed]: masks of different layers: "b" is only in one of them
// CHECK: lower-different-layers.mlir:8:6
