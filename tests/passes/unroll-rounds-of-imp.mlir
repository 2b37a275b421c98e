// RUN: lottoc opt %s --passes "unroll-methods,lower-lotto-to-mask" | filecheck %s
// Between two rounds of imp a criterion goes on from where it was, by equal shares.
%m = lotto.model {model = "net", source = "torch", path = "net.py", digest = "d", layers = [#lotto.layer<"a", linear, 8x8xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "mnist", splits = {}, digest = "d"} : !lotto.data
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%masks, %start, %final = lotto.find "imp" %w on %d {ticket = "t", options = {rounds = 2 : i64}, layers = ["a"], criterion = "synflow", criterion_options = {rounds = 2 : i64}, scope = "global", density = "1/16", pattern = "unstructured", training = {steps = 9 : i64, threads = 2 : i64}, inverted} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
lotto.ticket "t" %final under %masks shows []() : !lotto.weights<"net">

// CHECK:      %[[T0:\w+]] = lotto.train %w on %d from 0 to 9
// CHECK-NEXT: %[[G:\w+]] = lotto.gather "flow" %[[T0]] on %d {options = {}, layers = ["a"], split = "train", training = {threads = 2 : i64}}
// CHECK-NEXT: %[[W:\w+]] = mask.weight "a" of %[[T0]]
// CHECK-NEXT: %[[S:\w+]] = mask.score "synflow" %[[W]] with %[[G]] {layer = "a", options = {rounds = 2 : i64}, inverted}
// CHECK-NEXT: mask.keep_global 32 of(%[[S]]
// CHECK:      lotto.gather "flow" %[[T0]] on %d under
// CHECK:      mask.keep_global 16 of
// CHECK:      lotto.train %w on %d under
// CHECK:      mask.keep_global 8 of
// CHECK:      mask.keep_global 4 of
// CHECK:      lotto.train %w on %d under
// CHECK-NOT:  lotto.gather
