// RUN: lottoc opt %s --passes unroll-methods | filecheck %s
// Under 2:4 no output dies; the last layer is named all the same.
%m = lotto.model {model = "net", source = "torch", path = "net.py", function = "net", digest = "d", layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "mnist", splits = {}, digest = "d"} : !lotto.data
%w0 = lotto.init %m seed 0 : !lotto.weights<"net">
%masks, %start, %final = lotto.find "srigl" %w0 on %d {ticket = "t", options = {every = 50 : i64}, layers = ["fc"], criterion = "random", criterion_options = {}, scope = "erk", density = "1/2", pattern = "2:4", training = {steps = 2000 : i64}} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
lotto.ticket "t" %final under %masks shows []() : !lotto.weights<"net">

// CHECK:      %[[M:\w+]] = lotto.prune %{{\w+}} {scope = "erk", density = "1/2", pattern = "2:4", layers = ["fc"]}
// CHECK-NEXT: lotto.train_sparse "srigl" %w0 on %d under %[[M]] from 0 to 2000 {options = {ablate = 0.000000e+00 : f64, drop = 3.000000e-01 : f64, every = 50 : i64, until = 1500 : i64, whole = ["fc"]}
