// RUN: lottoc opt %s --passes unroll-methods | filecheck %s
// As rigl, with a seed for what grows.
%m = lotto.model {model = "net", source = "torch", path = "net.py", function = "net", digest = "d", layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "mnist", splits = {}, digest = "d"} : !lotto.data
%w0 = lotto.init %m seed 0 : !lotto.weights<"net">
%masks, %start, %final = lotto.find "set" %w0 on %d {ticket = "t", options = {seed = 7 : i64}, layers = ["fc"], criterion = "random", criterion_options = {seed = 0 : i64}, scope = "erk", density = "1/10", pattern = "unstructured", training = {steps = 2000 : i64}} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
lotto.ticket "t" %final under %masks shows []() : !lotto.weights<"net">
lotto.ticket "start" %start shows []() : !lotto.weights<"net">

// CHECK:      lotto.prune
// CHECK-NEXT: lotto.train_sparse "set" %w0 on %d under %{{\w+}} from 0 to 2000 {options = {drop = 3.000000e-01 : f64, every = 100 : i64, seed = 7 : i64, until = 1500 : i64}
