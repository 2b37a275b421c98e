// RUN: lottoc opt %s --passes unroll-methods | filecheck %s
// Learning-rate rewinding keeps the trained weights; fine-tuning also keeps the last rate.
%m = lotto.model {model = "lenet", source = "torch", path = "lenet.py", digest = "d", layers = [#lotto.layer<"fc1", linear, 300x784xf32>]} : !lotto.model<"lenet">
%d = lotto.data {data = "mnist", splits = {}, digest = "d"} : !lotto.data
%w0 = lotto.init %m seed 0 : !lotto.weights<"lenet">
%m1, %s1, %f1 = lotto.find "imp" %w0 on %d {ticket = "lr", options = {rounds = 1 : i64, rewind = 0 : i64, retrain = "learning_rate", optimizer = "fresh"}, layers = ["fc1"], criterion = "magnitude", criterion_options = {}, scope = "global", density = "1/2", pattern = "unstructured", training = {steps = 10 : i64}} : !lotto.masks<"lenet">, !lotto.weights<"lenet">, !lotto.weights<"lenet">
%m2, %s2, %f2 = lotto.find "imp" %w0 on %d {ticket = "ft", options = {rounds = 1 : i64, rewind = 4 : i64, retrain = "finetune", optimizer = "keep"}, layers = ["fc1"], criterion = "magnitude", criterion_options = {}, scope = "global", density = "1/2", pattern = "unstructured", training = {steps = 10 : i64}} : !lotto.masks<"lenet">, !lotto.weights<"lenet">, !lotto.weights<"lenet">
lotto.ticket "lr" %f1 under %m1 shows []() : !lotto.weights<"lenet">
lotto.ticket "ft" %f2 under %m2 shows []() : !lotto.weights<"lenet">

// CHECK:      %[[T:\w+]] = lotto.train %w0 on %d from 0 to 10
// CHECK:      %[[L:\w+]] = lotto.train %[[T]] on %d under %[[M1:\w+]] from 0 to 10 {optimizer = "fresh", training = {steps = 10 : i64}} :
// CHECK:      %[[K:\w+]] = lotto.train %w0 on %d from 0 to 4
// CHECK:      %[[T2:\w+]] = lotto.train %[[K]] on %d from 4 to 10 {optimizer = "keep"
// CHECK:      %[[F:\w+]] = lotto.train %[[T2]] on %d under %[[M2:\w+]] from 4 to 10 {optimizer = "keep", training = {steps = 10 : i64}, lr_at = 9 : i64}
// CHECK:      lotto.ticket "lr" %[[L]] under %[[M1]]
// CHECK-NEXT: lotto.ticket "ft" %[[F]] under %[[M2]]
