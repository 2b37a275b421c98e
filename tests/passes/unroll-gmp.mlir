// RUN: lottoc opt %s --passes unroll-methods | filecheck %s
// From dense: there is no mask to start under, and the counts follow from scope and density.
%m = lotto.model {model = "net", source = "torch", path = "net.py", function = "net", digest = "d", layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "mnist", splits = {}, digest = "d"} : !lotto.data
%w0 = lotto.init %m seed 0 : !lotto.weights<"net">
%masks, %start, %final = lotto.find "gmp" %w0 on %d {ticket = "t", options = {begin = 100 : i64, until = 0.5 : f64}, layers = ["fc"], criterion = "magnitude", criterion_options = {}, scope = "erk", density = "1/10", pattern = "unstructured", training = {steps = 2000 : i64}} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
lotto.ticket "t" %final under %masks shows []() : !lotto.weights<"net">
lotto.ticket "start" %start shows []() : !lotto.weights<"net">

// CHECK-NOT:  lotto.prune
// CHECK:      lotto.train_sparse "gmp" %w0 on %d from 0 to 2000 {options = {begin = 100 : i64, every = 100 : i64, until = 1000 : i64}, layers = ["fc"], scope = "erk", density = "1/10"
