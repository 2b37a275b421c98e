// RUN: lottoc opt %s --passes unroll-methods | filecheck %s
// Pruning without a training: the weights are what the model brings.
%m = lotto.model {model = "bert", source = "onnx", path = "b.onnx", digest = "d", layers = [#lotto.layer<"q", linear, 8x8xf32>]} : !lotto.model<"bert">
%w = lotto.init %m seed 0 : !lotto.weights<"bert">
%masks, %start, %final = lotto.find "one_shot" %w {ticket = "half", options = {}, layers = ["q"], criterion = "random", criterion_options = {seed = 3 : i64}, scope = "global", density = "1/2", pattern = "2:4"} : !lotto.masks<"bert">, !lotto.weights<"bert">, !lotto.weights<"bert">
lotto.emit "onnx" "b.onnx" %final under %masks {ticket = "half", options = {}} : !lotto.weights<"bert">

// CHECK:      %[[S:\w+]] = lotto.score "random" %w {options = {seed = 3 : i64}, layers = ["q"]}
// CHECK-NEXT: %[[M:\w+]] = lotto.prune %[[S]] {scope = "global", density = "1/2", pattern = "2:4", layers = ["q"]}
// CHECK-NEXT: lotto.emit "onnx" "b.onnx" %w under %[[M]]
// CHECK-NOT:  lotto.train
