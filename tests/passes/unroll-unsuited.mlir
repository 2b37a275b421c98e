// RUN: not lottoc opt %s --passes unroll-methods 2>&1 | filecheck %s
// RigL moves single weights: 2:4 would not survive.
%m = lotto.model {model = "net", source = "torch", path = "net.py", function = "net", digest = "d", layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "mnist", splits = {}, digest = "d"} : !lotto.data
%w0 = lotto.init %m seed 0 : !lotto.weights<"net">
%masks, %start, %final = lotto.find "rigl" %w0 on %d {ticket = "t", options = {}, layers = ["fc"], criterion = "random", criterion_options = {}, scope = "global", density = "1/2", pattern = "2:4", training = {steps = 2000 : i64}} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">

// CHECK: error[pass-failed]: rigl does not work with pattern N:M
// CHECK: it takes unstructured
