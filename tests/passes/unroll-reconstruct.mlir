// RUN: lottoc opt --passes "unroll-methods,lower-lotto-to-mask" %s | filecheck %s

%m = lotto.model {model = "net", source = "onnx", path = "net.onnx", digest = "d", layers = [#lotto.layer<"a", linear, 8x16xf32>, #lotto.layer<"b", linear, 4x8xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "c", splits = {calibration = {path = "c.npz", x = "x", y = "y"}}, digest = "d"} : !lotto.data
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%masks, %start, %final = lotto.find "one_shot" %w {ticket = "t", options = {}, layers = ["a", "b"], criterion = "magnitude", criterion_options = {}, scope = "uniform", density = "1/2", pattern = "2:4"} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
%k, %v = lotto.reconstruct "sparsegpt" %w on %d {options = {damping = 0.01}, layers = ["a", "b"], split = "calibration", scope = "uniform", density = "1/2", pattern = "2:4"} : !lotto.masks<"net">, !lotto.weights<"net">
%both = lotto.and %masks, %k : !lotto.masks<"net">
lotto.ticket "t" %v under %both shows []() : !lotto.weights<"net">

// CHECK:      %k, %v = lotto.reconstruct "sparsegpt" %w on %d
// CHECK-NEXT: %{{.*}} = mask.layer "a" of %k : !lotto.masks<"net"> -> !mask.mask<8x16, 2:4>
// CHECK-NEXT: %{{.*}} = mask.layer "b" of %k : !lotto.masks<"net"> -> !mask.mask<4x8, 2:4>
// CHECK:      %{{.*}} = mask.and
// CHECK:      lotto.ticket "t" %v under
