// RUN: lottoc opt %s --passes unroll-methods | filecheck %s
// Rounds under rows approach the density as unstructured ones do; N:M goes down in steps of 1 / M.
%m = lotto.model {model = "net", source = "torch", path = "net.py", function = "net", digest = "d", layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "mnist", splits = {}, digest = "d"} : !lotto.data
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%k, %s, %f = lotto.find "imp" %w on %d {ticket = "t", options = {rounds = 2 : i64}, layers = ["fc"], criterion = "magnitude", criterion_options = {}, scope = "global", density = "1/4", pattern = "rows", training = {steps = 9 : i64}} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
lotto.ticket "t" %f under %k shows []() : !lotto.weights<"net">
%l, %t, %g = lotto.find "imp" %w on %d {ticket = "u", options = {rounds = 2 : i64}, layers = ["fc"], criterion = "magnitude", criterion_options = {}, scope = "global", density = "1/4", pattern = "1:4", training = {steps = 9 : i64}} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
lotto.ticket "u" %g under %l shows []() : !lotto.weights<"net">

// CHECK: %[[K:\w+]] = lotto.prune %{{\w+}} {scope = "global", density = "1/2", pattern = "rows"
// CHECK: lotto.prune %{{\w+}} within %[[K]] {scope = "global", density = "1/4", pattern = "rows"
// CHECK: lotto.ticket "t"
// CHECK: %[[L:\w+]] = lotto.prune %{{\w+}} {scope = "global", density = "1/2", pattern = "2:4"
// CHECK: lotto.prune %{{\w+}} within %[[L]] {scope = "global", density = "1/4", pattern = "1:4"
