// RUN: lottoc opt %s --passes unroll-methods,lower-lotto-to-mask | filecheck %s
// Masks of two layers for each of the target's, and what they come to, for the report.
%s = lotto.model {model = "small", source = "torch", path = "net.py", function = "small", digest = "s", layers = [#lotto.layer<"fc", linear, 4x3xf32>]} : !lotto.model<"small">
%m = lotto.model {model = "wide", source = "torch", path = "net.py", function = "wide", digest = "d", layers = [#lotto.layer<"into", linear, 30x3xf32>, #lotto.layer<"out", linear, 4x30xf32>]} : !lotto.model<"wide">
%t = lotto.init %s seed 0 : !lotto.weights<"small">
%w0 = lotto.init %m seed 0 : !lotto.weights<"wide">
%masks, %start, %final = lotto.find "subset_sum" %w0 toward %t : !lotto.weights<"small"> {ticket = "t", options = {epsilon = 1.000000e-02 : f64}, layers = ["into", "out"], target = ["fc"], criterion = "magnitude", criterion_options = {}, scope = "global", density = "1", pattern = "unstructured"} : !lotto.masks<"wide">, !lotto.weights<"wide">, !lotto.weights<"wide">
lotto.ticket "t" %final under %masks shows []() : !lotto.weights<"wide">

// CHECK:      %[[K:[0-9a-z]+]] = lotto.subset_sum %w0 toward %t {layers = ["into", "out"], target = ["fc"], epsilon = 1.000000e-02 : f64} : !lotto.weights<"small"> -> !lotto.masks<"wide">
// CHECK:      mask.layer "into" of %[[K]]
// CHECK-SAME: !mask.mask<30x3>
// CHECK:      lotto.approximation "error" %{{.*}} of %w0 toward %t
// CHECK:      lotto.approximation "width"
// CHECK:      lotto.observe "t" "approximation" ["error", "width"]
