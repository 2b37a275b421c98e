// RUN: lottoc opt %s --passes unroll-methods | filecheck %s
// Two rounds of imp: θ_100 is one value, and every round starts from it again.
%m = lotto.model {model = "lenet", source = "torch", path = "lenet.py", digest = "d", layers = [#lotto.layer<"fc1", linear, 300x784xf32>]} : !lotto.model<"lenet">
%d = lotto.data {data = "mnist", splits = {}, digest = "d"} : !lotto.data
%w0 = lotto.init %m seed 0 : !lotto.weights<"lenet">
%masks, %start, %final = lotto.find "imp" %w0 on %d {ticket = "winning", options = {rounds = 2 : i64, rewind = 100 : i64, retrain = "rewind", optimizer = "fresh"}, layers = ["fc1"], criterion = "magnitude", criterion_options = {}, scope = "global", density = "1/4", pattern = "unstructured", training = {steps = 3000 : i64}} : !lotto.masks<"lenet">, !lotto.weights<"lenet">, !lotto.weights<"lenet">
lotto.ticket "winning" %final under %masks shows []() : !lotto.weights<"lenet">
lotto.ticket "start" %start shows []() : !lotto.weights<"lenet">

// CHECK:      %[[K:\w+]] = lotto.train %w0 on %d from 0 to 100 {optimizer = "fresh"
// CHECK-NEXT: %[[T:\w+]] = lotto.train %[[K]] on %d from 100 to 3000 {optimizer = "keep"
// CHECK-NEXT: %[[S1:\w+]] = lotto.score "magnitude" %[[T]]
// CHECK-NEXT: %[[M1:\w+]] = lotto.prune %[[S1]] {scope = "global", density = "[[HALF:[0-9./]+]]", pattern = "unstructured", layers = ["fc1"]}
// CHECK-NEXT: %[[T1:\w+]] = lotto.train %[[K]] on %d under %[[M1]] from 100 to 3000 {optimizer = "fresh"
// CHECK:      lotto.observe "winning" "round 1" ["sparsity"]
// CHECK-NEXT: %[[S2:\w+]] = lotto.score "magnitude" %[[T1]]
// CHECK-NEXT: %[[M2:\w+]] = lotto.prune %[[S2]] within %[[M1]] {scope = "global", density = "1/4", pattern = "unstructured", layers = ["fc1"]}
// CHECK-NEXT: %[[T2:\w+]] = lotto.train %[[K]] on %d under %[[M2]] from 100 to 3000 {optimizer = "fresh"
// CHECK:      lotto.observe "winning" "round 2" ["sparsity"]
// CHECK-NEXT: lotto.ticket "winning" %[[T2]] under %[[M2]]
// CHECK-NEXT: lotto.ticket "start" %[[K]] shows
