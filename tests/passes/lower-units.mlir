// RUN: lottoc opt %s --passes "lower-lotto-to-mask,dce" | filecheck %s
// Rows and blocks are ranked together under global; else counts are rounded up to whole units.
%m = lotto.model {model = "net", source = "torch", path = "net.py", digest = "d", layers = [#lotto.layer<"a", linear, 8x10xf32>, #lotto.layer<"b", conv, 4x8x3x3xf32>]} : !lotto.model<"net">
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%s = lotto.score "magnitude" %w {options = {}, layers = ["a", "b"]} : !lotto.scores<"net">
%g = lotto.prune %s {scope = "global", density = "1/3", pattern = "rows", layers = ["a", "b"]} : !lotto.masks<"net">
%l = lotto.prune %s within %g {scope = "layerwise", density = "1/5", pattern = "rows", layers = ["a", "b"]} : !lotto.masks<"net">
%b = lotto.prune %s {scope = "uniform", density = "1/3", pattern = "block(2, 1)", layers = ["a", "b"]} : !lotto.masks<"net">
%f = lotto.prune %s {scope = "global", density = "1/4", pattern = "fanin", layers = ["a", "b"]} : !lotto.masks<"net">
%x = lotto.and %l, %b : !lotto.masks<"net">
%y = lotto.and %x, %f : !lotto.masks<"net">
lotto.ticket "t" %w under %y shows []() : !lotto.weights<"net">

// CHECK:      %[[SA:\w+]] = mask.score "magnitude" %{{\w+}} {layer = "a"
// CHECK:      %[[SB:\w+]] = mask.score "magnitude" %{{\w+}} {layer = "b"
// CHECK-NEXT: %[[GA:\w+]], %[[GB:\w+]] = mask.keep_global 123 of(%[[SA]], %[[SB]] : !mask.scores<8x10>, !mask.scores<4x8x3x3>) within() -> !mask.mask<8x10, rows>, !mask.mask<4x8x3x3, rows>
// CHECK-NEXT: %[[LA:\w+]] = mask.keep 20 of %[[SA]] within %[[GA]] : !mask.mask<8x10, rows>,  : !mask.scores<8x10> -> !mask.mask<8x10, rows>
// CHECK-NEXT: %[[LB:\w+]] = mask.keep 72 of %[[SB]] within %[[GB]]
// CHECK-NEXT: %[[BA:\w+]] = mask.keep 28 of %[[SA]] : !mask.scores<8x10> -> !mask.mask<8x10, block(2, 1)>
// CHECK-NEXT: %[[BB:\w+]] = mask.keep 108 of %[[SB]] : !mask.scores<4x8x3x3> -> !mask.mask<4x8x3x3, block(2, 1)>
// CHECK-NEXT: %[[FA:\w+]] = mask.keep 24 of %[[SA]] : !mask.scores<8x10> -> !mask.mask<8x10, fanin>
// CHECK-NEXT: %[[FB:\w+]] = mask.keep 72 of %[[SB]] : !mask.scores<4x8x3x3> -> !mask.mask<4x8x3x3, fanin>
// CHECK-NEXT: mask.and %[[LA]], %[[BA]]
