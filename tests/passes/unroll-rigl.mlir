// RUN: lottoc opt %s --passes unroll-methods | filecheck %s
// Sparse from the start: the first mask is pruned from θ_0, the training gives the last one.
%m = lotto.model {model = "net", source = "torch", path = "net.py", function = "net", digest = "d", layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "mnist", splits = {}, digest = "d"} : !lotto.data
%w0 = lotto.init %m seed 0 : !lotto.weights<"net">
%masks, %start, %final = lotto.find "rigl" %w0 on %d {ticket = "t", options = {every = 50 : i64, drop = 0.3 : f64, until = 0.75 : f64}, layers = ["fc"], criterion = "random", criterion_options = {seed = 0 : i64}, scope = "erk", density = "1/10", pattern = "unstructured", training = {steps = 2000 : i64}} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
lotto.ticket "t" %final under %masks shows []() : !lotto.weights<"net">
lotto.ticket "start" %start shows []() : !lotto.weights<"net">

// CHECK:      %[[S:\w+]] = lotto.score "random" %w0 {options = {seed = 0 : i64}, layers = ["fc"]}
// CHECK-NEXT: %[[M:\w+]] = lotto.prune %[[S]] {scope = "erk", density = "1/10", pattern = "unstructured", layers = ["fc"]}
// CHECK-NEXT: %masks, %[[T:\w+]] = lotto.train_sparse "rigl" %w0 on %d under %[[M]] from 0 to 2000 {options = {drop = 3.000000e-01 : f64, every = 50 : i64, until = 1500 : i64}, layers = ["fc"], scope = "erk", density = "1/10", pattern = "unstructured", optimizer = "fresh", training = {steps = 2000 : i64}}
// CHECK-NEXT: lotto.ticket "t" %[[T]] under %masks
// CHECK-NEXT: lotto.ticket "start" %w0
