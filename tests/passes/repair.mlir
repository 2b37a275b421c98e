// RUN: lottoc opt %s --passes "unroll-methods,lower-lotto-to-mask,dce" | filecheck %s
// Every round's masks are repaired, all layers together, with weights of the round before.
%m = lotto.model {model = "net", source = "torch", path = "net.py", digest = "d", layers = [#lotto.layer<"a", linear, 8x4xf32>, #lotto.layer<"b", linear, 4x8xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "mnist", splits = {}, digest = "d"} : !lotto.data
%g = lotto.wiring %m sampled from %d : !lotto.wiring<"net">
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%k, %s, %f = lotto.find "imp" %w on %d repaired in %g {ticket = "t", options = {rounds = 2 : i64}, layers = ["a", "b"], criterion = "magnitude", criterion_options = {}, scope = "layerwise", density = "1/4", pattern = "unstructured", training = {steps = 9 : i64}} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
lotto.check_signal "t" %k in %g {on_collapse = "keep_best"} : !lotto.masks<"net">
lotto.ticket "t" %f under %k shows []() : !lotto.weights<"net">

// CHECK:      %[[G:\w+]] = lotto.wiring
// CHECK:      %[[A1:\w+]] = mask.keep 16 of %[[SA:\w+]] :
// CHECK-NEXT: %[[B1:\w+]] = mask.keep 16 of %[[SB:\w+]] :
// CHECK-NEXT: %[[RA:\w+]], %[[RB:\w+]] = mask.repair ["a", "b"](%[[A1]], %[[B1]] : {{.*}}) by(%[[SA]], %[[SB]] : {{.*}}) within() in %[[G]] : !lotto.wiring<"net"> -> !mask.mask<8x4>, !mask.mask<4x8>
// CHECK-NEXT: %[[K1:\w+]] = mask.bundle ["a", "b"](%[[RA]], %[[RB]]
// CHECK-NEXT: lotto.train {{.*}} under %[[K1]]
// CHECK:      mask.keep 8 of {{.*}} within %[[RA]]
// CHECK:      mask.repair {{.*}} within(%[[RA]], %[[RB]] : {{.*}}) in %[[G]]
// CHECK:      lotto.check_signal "t" {{.*}} in %[[G]] {on_collapse = "keep_best"}
