// RUN: lottoc opt %s --passes unroll-methods | filecheck %s
// Masks that move begin with those that a criterion finds in its rounds.
%m = lotto.model {model = "net", source = "torch", path = "net.py", digest = "d", layers = [#lotto.layer<"a", linear, 8x8xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "mnist", splits = {}, digest = "d"} : !lotto.data
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%masks, %start, %final = lotto.find "rigl" %w on %d {ticket = "t", options = {}, layers = ["a"], criterion = "synflow", criterion_options = {rounds = 2 : i64}, scope = "global", density = "1/4", pattern = "unstructured", training = {steps = 900 : i64}} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
lotto.ticket "t" %final under %masks shows []() : !lotto.weights<"net">

// CHECK:      %[[S1:\w+]] = lotto.score "synflow" %w on %d {options
// CHECK-NEXT: %[[M1:\w+]] = lotto.prune %[[S1]] {scope = "global", density = "1/2"
// CHECK-NEXT: %[[S2:\w+]] = lotto.score "synflow" %w on %d under %[[M1]] {options
// CHECK-NEXT: %[[M2:\w+]] = lotto.prune %[[S2]] within %[[M1]] {scope = "global", density = "1/4"
// CHECK-NEXT: lotto.train_sparse "rigl" %w on %d under %[[M2]]
