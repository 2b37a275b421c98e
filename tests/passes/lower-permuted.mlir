// RUN: lottoc opt %s --passes "lower-lotto-to-mask,dce" | filecheck %s
// Layers that read the same channels share an order, found once and kept; one that may not move has plain N:M.
%m = lotto.model {model = "net", source = "torch", path = "net.py", digest = "d", layers = [#lotto.layer<"first", linear, 4x8xf32>, #lotto.layer<"q", linear, 8x8xf32, reads 0>, #lotto.layer<"k", conv, 6x8x1x1xf32, reads 0>, #lotto.layer<"out", linear, 2x8xf32, reads 1>]} : !lotto.model<"net">
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%s = lotto.score "magnitude" %w {options = {}, layers = ["first", "q", "k", "out"]} : !lotto.scores<"net">
%a = lotto.prune %s {scope = "global", density = "3/4", pattern = "permuted(3, 4)", layers = ["first", "q", "k", "out"]} : !lotto.masks<"net">
%b = lotto.prune %s within %a {scope = "global", density = "1/2", pattern = "permuted(2, 4)", layers = ["first", "q", "k", "out"]} : !lotto.masks<"net">
lotto.emit "onnx" "b.onnx" %w under %b {ticket = "b", options = {format = "dense"}} : !lotto.weights<"net">
%n = lotto.not %b : !lotto.masks<"net">
lotto.emit "onnx" "n.onnx" %w under %n {ticket = "n", options = {format = "dense"}} : !lotto.weights<"net">

// CHECK:      %[[F:\w+]] = mask.score "magnitude" %{{\w+}} {layer = "first"
// CHECK:      %[[Q:\w+]] = mask.score "magnitude" %{{\w+}} {layer = "q"
// CHECK:      %[[K:\w+]] = mask.score "magnitude" %{{\w+}} {layer = "k"
// CHECK:      %[[O:\w+]] = mask.score "magnitude" %{{\w+}} {layer = "out"
// CHECK-NEXT: %[[SHARED:\w+]] = mask.order 3 of 4 over(%[[Q]], %[[K]] : !mask.scores<8x8>, !mask.scores<6x8x1x1>) -> !mask.order<8>
// CHECK-NEXT: %[[ALONE:\w+]] = mask.order 3 of 4 over(%[[O]] : !mask.scores<2x8>) -> !mask.order<8>
// CHECK-NEXT: %[[F3:\w+]] = mask.keep 24 of %[[F]] : !mask.scores<4x8> -> !mask.mask<4x8, 3:4>
// CHECK-NEXT: %[[Q3:\w+]] = mask.keep 48 of %[[Q]] ordered %[[SHARED]] : !mask.order<8>, : !mask.scores<8x8> -> !mask.mask<8x8, permuted(3, 4)>
// CHECK-NEXT: %[[K3:\w+]] = mask.keep 36 of %[[K]] ordered %[[SHARED]]
// CHECK-NEXT: %[[O3:\w+]] = mask.keep 12 of %[[O]] ordered %[[ALONE]]
// CHECK-NEXT: mask.keep 16 of %[[F]] within %[[F3]] : !mask.mask<4x8, 3:4>, : !mask.scores<4x8> -> !mask.mask<4x8, 2:4>
// CHECK-NEXT: mask.keep 32 of %[[Q]] within %[[Q3]] : !mask.mask<8x8, permuted(3, 4)>, ordered %[[SHARED]] : !mask.order<8>, : !mask.scores<8x8> -> !mask.mask<8x8, permuted(2, 4)>
// CHECK-NEXT: mask.keep 24 of %[[K]] within %[[K3]]
// CHECK-NEXT: mask.keep 8 of %[[O]] within %[[O3]]
// CHECK:      lotto.emit "onnx" "b.onnx" %{{\w+}} under %{{\w+}} ordered by(%[[SHARED]], %[[SHARED]], %[[ALONE]] : !mask.order<8>, !mask.order<8>, !mask.order<8>)
// CHECK-SAME: ordered = ["q", "k", "out"]
// CHECK:      lotto.emit "onnx" "n.onnx" %{{\w+}} under %{{\w+}} {
