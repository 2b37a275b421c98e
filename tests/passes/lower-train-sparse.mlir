// RUN: lottoc opt %s --passes lower-lotto-to-mask,cse,dce | filecheck %s
// A training that moves masks gives them together; mask.layer takes out one of them.
%m = lotto.model {model = "net", source = "torch", path = "net.py", function = "net", digest = "d", layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "mnist", splits = {}, digest = "d"} : !lotto.data
%w0 = lotto.init %m seed 0 : !lotto.weights<"net">
%k, %t = lotto.train_sparse "set" %w0 on %d from 0 to 9 {options = {}, layers = ["fc"], scope = "erk", density = "1/2", pattern = "unstructured", optimizer = "fresh", training = {}} : !lotto.masks<"net">, !lotto.weights<"net">
%n = lotto.not %k : !lotto.masks<"net">
lotto.ticket "t" %t under %k shows []() : !lotto.weights<"net">
lotto.ticket "n" %t under %n shows []() : !lotto.weights<"net">

// CHECK:      %k, %t = lotto.train_sparse "set"
// CHECK-NEXT: %[[L:\w+]] = mask.layer "fc" of %k : !lotto.masks<"net"> -> !mask.mask<8x16>
// CHECK-NEXT: %[[B:\w+]] = mask.bundle ["fc"](%[[L]] : !mask.mask<8x16>)
// CHECK-NEXT: %[[N:\w+]] = mask.not %[[L]]
// CHECK-NEXT: %[[C:\w+]] = mask.bundle ["fc"](%[[N]]
// CHECK-NEXT: lotto.ticket "t" %t under %[[B]]
// CHECK-NEXT: lotto.ticket "n" %t under %[[C]]
