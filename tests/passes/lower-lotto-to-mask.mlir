// RUN: lottoc opt %s --passes "lower-lotto-to-mask,dce" | filecheck %s
// Global pruning ranks layers together, layerwise pruning counts in each, 2:4 is in the type.
%m = lotto.model {model = "net", source = "torch", path = "net.py", digest = "d", layers = [#lotto.layer<"a", linear, 8x4xf32>, #lotto.layer<"b", conv, 4x8x3x3xf32>]} : !lotto.model<"net">
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%s = lotto.score "magnitude" %w {options = {}, layers = ["a", "b"]} : !lotto.scores<"net">
%g = lotto.prune %s {scope = "global", density = "1/4", pattern = "unstructured", layers = ["a", "b"]} : !lotto.masks<"net">
%l = lotto.prune %s within %g {scope = "layerwise", density = "1/8", pattern = "unstructured", layers = ["a", "b"]} : !lotto.masks<"net">
%n = lotto.prune %s {scope = "global", density = "1/2", pattern = "2:4", layers = ["a", "b"]} : !lotto.masks<"net">
%x = lotto.and %l, %n : !lotto.masks<"net">
%y = lotto.shuffle %x seed 7 : !lotto.masks<"net">
lotto.ticket "t" %w under %y shows []() : !lotto.weights<"net">

// CHECK:      %[[WA:\w+]] = mask.weight "a" of %w : !lotto.weights<"net"> -> !mask.weight<8x4>
// CHECK-NEXT: %[[SA:\w+]] = mask.score "magnitude" %[[WA]] {layer = "a", options = {}} : !mask.weight<8x4> -> !mask.scores<8x4>
// CHECK-NEXT: %[[WB:\w+]] = mask.weight "b" of %w : !lotto.weights<"net"> -> !mask.weight<4x8x3x3>
// CHECK-NEXT: %[[SB:\w+]] = mask.score "magnitude" %[[WB]]
// CHECK-NEXT: %[[GA:\w+]], %[[GB:\w+]] = mask.keep_global 80 of(%[[SA]], %[[SB]]
// CHECK-NEXT: %[[LA:\w+]] = mask.keep 4 of %[[SA]] within %[[GA]]
// CHECK-NEXT: %[[LB:\w+]] = mask.keep 36 of %[[SB]] within %[[GB]]
// CHECK-NEXT: %[[NA:\w+]] = mask.keep 16 of %[[SA]] : !mask.scores<8x4> -> !mask.mask<8x4, 2:4>
// CHECK-NEXT: %[[NB:\w+]] = mask.keep 144 of %[[SB]] : !mask.scores<4x8x3x3> -> !mask.mask<4x8x3x3, 2:4>
// CHECK-NEXT: %[[XA:\w+]] = mask.and %[[LA]], %[[NA]]
// CHECK-NEXT: %[[XB:\w+]] = mask.and %[[LB]], %[[NB]]
// CHECK-NEXT: %[[YA:\w+]] = mask.shuffle "a" %[[XA]] seed 7
// CHECK-NEXT: %[[YB:\w+]] = mask.shuffle "b" %[[XB]] seed 7
// CHECK-NEXT: %[[Y:\w+]] = mask.bundle ["a", "b"](%[[YA]], %[[YB]]
// CHECK-NEXT: lotto.ticket "t" %w under %[[Y]]
// CHECK-NOT:  lotto.prune
