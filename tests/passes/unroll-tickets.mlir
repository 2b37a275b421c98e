// RUN: lottoc opt %s --passes "unroll-methods{tickets=b}" | filecheck %s
// RUN: lottoc opt %s --passes "unroll-methods{tickets=a,b}" | filecheck %s --check-prefix BOTH
// Only the named tickets are unrolled, to look at one of them.
%m = lotto.model {model = "net", source = "torch", path = "net.py", function = "net", digest = "d", layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%k1, %s1, %f1 = lotto.find "one_shot" %w {ticket = "a", options = {}, layers = ["fc"], criterion = "magnitude", criterion_options = {}, scope = "global", density = "1/4", pattern = "unstructured"} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
%k2, %s2, %f2 = lotto.find "one_shot" %w {ticket = "b", options = {}, layers = ["fc"], criterion = "magnitude", criterion_options = {}, scope = "global", density = "1/4", pattern = "unstructured"} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
lotto.ticket "a" %f1 under %k1 shows []() : !lotto.weights<"net">
lotto.ticket "b" %f2 under %k2 shows []() : !lotto.weights<"net">

// CHECK:      lotto.find "one_shot" %w {ticket = "a"
// CHECK-NEXT: lotto.score "magnitude" %w
// CHECK-NEXT: lotto.prune
// CHECK-NOT:  lotto.find

// BOTH-COUNT-2: lotto.prune
// BOTH-NOT:     lotto.find
