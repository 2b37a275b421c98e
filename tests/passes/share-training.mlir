// RUN: lottoc opt %s --passes "share-training,cse" | filecheck %s
// A dense training of 3000 steps, a ticket that rewinds to step 100, and another to step 500:
// all three share their beginnings.
%m = lotto.model {model = "lenet", source = "torch", path = "lenet.py", digest = "d", layers = [#lotto.layer<"fc1", linear, 300x784xf32>]} : !lotto.model<"lenet">
%d = lotto.data {data = "mnist", splits = {}, digest = "d"} : !lotto.data
%w0 = lotto.init %m seed 0 : !lotto.weights<"lenet">
%dense = lotto.train %w0 on %d from 0 to 3000 {optimizer = "fresh", training = {}} : !lotto.weights<"lenet">
%k100 = lotto.train %w0 on %d from 0 to 100 {optimizer = "fresh", training = {}} : !lotto.weights<"lenet">
%t100 = lotto.train %k100 on %d from 100 to 3000 {optimizer = "keep", training = {}} : !lotto.weights<"lenet">
%k500 = lotto.train %w0 on %d from 0 to 500 {optimizer = "fresh", training = {}} : !lotto.weights<"lenet">
%other = lotto.train %w0 on %d from 0 to 3000 {optimizer = "fresh", training = {lr = 1.0 : f64}} : !lotto.weights<"lenet">
lotto.ticket "a" %dense shows []() : !lotto.weights<"lenet">
lotto.ticket "b" %t100 shows []() : !lotto.weights<"lenet">
lotto.ticket "c" %k500 shows []() : !lotto.weights<"lenet">
lotto.ticket "d" %other shows []() : !lotto.weights<"lenet">

// CHECK:      %w0 = lotto.init
// CHECK-NEXT: %[[K100:\w+]] = lotto.train %w0 on %d from 0 to 100 {optimizer = "fresh", training = {}}
// CHECK-NEXT: %[[K500:\w+]] = lotto.train %[[K100]] on %d from 100 to 500 {optimizer = "keep", training = {}}
// CHECK-NEXT: %[[T:\w+]] = lotto.train %[[K500]] on %d from 500 to 3000 {optimizer = "keep", training = {}}
// CHECK-NEXT: %[[OTHER:\w+]] = lotto.train %w0 on %d from 0 to 3000 {optimizer = "fresh", training = {lr = 1.000000e+00 : f64}}
// CHECK-NEXT: lotto.ticket "a" %[[T]]
// CHECK-NEXT: lotto.ticket "b" %[[T]]
// CHECK-NEXT: lotto.ticket "c" %[[K500]]
// CHECK-NEXT: lotto.ticket "d" %[[OTHER]]
