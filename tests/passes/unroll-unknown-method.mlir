// RUN: not lottoc opt %s --passes unroll-methods 2>&1 | filecheck %s
%m = lotto.model {model = "net", source = "torch", path = "net.py", function = "net", digest = "d", layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%k, %s, %f = lotto.find "one_shoot" %w {ticket = "t", options = {}, layers = ["fc"], criterion = "magnitude", criterion_options = {}, scope = "global", density = "1/4", pattern = "unstructured"} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">

// CHECK:      error[pass-failed]: there is no method "one_shoot"
// CHECK-NEXT: unroll-unknown-method.mlir:4:14
// CHECK-NEXT: |
// CHECK-NEXT: 4 | %k, %s, %f = lotto.find "one_shoot"
// CHECK-NEXT: |              ^^^^^^^^^^
// CHECK:      help: did you mean "one_shot"?
