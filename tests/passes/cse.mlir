// RUN: lottoc opt %s --passes cse | filecheck %s
// Two tickets that start alike share their start, their training and their scores; metrics of
// one ticket are measured once. What has an effect stays: both tickets are still reported.
%m = lotto.model {model = "net", source = "torch", path = "net.py", function = "net", digest = "d", layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "x", splits = {}, digest = "d"} : !lotto.data
%w1 = lotto.init %m seed 0 : !lotto.weights<"net">
%w2 = lotto.init %m seed 0 : !lotto.weights<"net">
%w3 = lotto.init %m seed 1 : !lotto.weights<"net">
%t1 = lotto.train %w1 on %d from 0 to 9 {optimizer = "fresh", training = {steps = 9 : i64}} : !lotto.weights<"net">
%t2 = lotto.train %w2 on %d from 0 to 9 {optimizer = "fresh", training = {steps = 9 : i64}} : !lotto.weights<"net">
%t3 = lotto.train %w3 on %d from 0 to 9 {optimizer = "fresh", training = {steps = 9 : i64}} : !lotto.weights<"net">
lotto.ticket "a" %t1 shows []() : !lotto.weights<"net">
lotto.ticket "b" %t2 shows []() : !lotto.weights<"net">
lotto.ticket "c" %t3 shows []() : !lotto.weights<"net">

// CHECK:      %[[W:\w+]] = lotto.init %m seed 0
// CHECK-NEXT: %[[V:\w+]] = lotto.init %m seed 1
// CHECK-NEXT: %[[T:\w+]] = lotto.train %[[W]]
// CHECK-NEXT: %[[U:\w+]] = lotto.train %[[V]]
// CHECK-NEXT: lotto.ticket "a" %[[T]]
// CHECK-NEXT: lotto.ticket "b" %[[T]]
// CHECK-NEXT: lotto.ticket "c" %[[U]]
