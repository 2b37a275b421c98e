// RUN: not lottoc opt %s --passes "unroll-methods{tickets=nm},lower-lotto-to-mask" 2>&1 | filecheck %s --check-prefix AXIS
// Groups of M must tile the inputs of every layer.
%m = lotto.model {model = "net", source = "onnx", path = "net.onnx", digest = "d", layers = [#lotto.layer<"a", linear, 8x10xf32>, #lotto.layer<"b", linear, 8x16xf32>]} : !lotto.model<"net">
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%k, %s, %f = lotto.find "one_shot" %w {ticket = "nm", options = {}, layers = ["b", "a"], criterion = "magnitude", criterion_options = {}, scope = "global", density = "1/2", pattern = "2:4"} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
lotto.ticket "t" %f under %k shows []() : !lotto.weights<"net">

// AXIS: error[pass-failed]: pattern 2:4 does not fit layer "a": its input has 10 features, not a multiple of 4
// AXIS: lower-misfits.mlir:5:14
