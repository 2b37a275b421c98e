// RUN: not lottoc opt %s --passes lower-lotto-to-mask 2>&1 | filecheck %s
// RUN: lottoc opt %s --passes unroll-methods,lower-lotto-to-mask | filecheck %s --check-prefix FOUND
// The masks of a ticket that no method has found yet have no layers.
%m = lotto.model {model = "net", source = "torch", path = "net.py", function = "net", digest = "d", layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%k, %s, %f = lotto.find "one_shot" %w {ticket = "t", options = {}, layers = ["fc"], criterion = "magnitude", criterion_options = {}, scope = "global", density = "1/4", pattern = "unstructured"} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
%n = lotto.not %k : !lotto.masks<"net">
lotto.ticket "t" %f under %n shows []() : !lotto.weights<"net">

// CHECK: error[pass-failed]: lotto.not takes masks that are not lowered
// CHECK: lower-not-found.mlir:7:6
// CHECK: help: run unroll-methods first

// FOUND: mask.not
