// RUN: lottoc opt %s --passes "lower-lotto-to-mask,dce" | filecheck %s
// Columns are counted layer by layer, halves up, at least one; erk gives each layer its density.
%m = lotto.model {model = "net", source = "torch", path = "net.py", digest = "d", layers = [#lotto.layer<"a", linear, 8x10xf32>, #lotto.layer<"b", conv, 4x8x3x3xf32>]} : !lotto.model<"net">
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%s = lotto.score "magnitude" %w {options = {}, layers = ["a", "b"]} : !lotto.scores<"net">
%g = lotto.prune %s {scope = "global", density = "1/4", pattern = "groups(4)", layers = ["a", "b"]} : !lotto.masks<"net">
%l = lotto.prune %s within %g {scope = "layerwise", density = "1/100", pattern = "groups(4, permute = false)", layers = ["a", "b"]} : !lotto.masks<"net">
%e = lotto.prune %s {scope = "erk", density = "1/2", pattern = "groups(4)", layers = ["a", "b"]} : !lotto.masks<"net">
%x = lotto.and %l, %e : !lotto.masks<"net">
lotto.ticket "t" %w under %x shows []() : !lotto.weights<"net">

// CHECK:      %[[SA:\w+]] = mask.score "magnitude" %{{\w+}} {layer = "a"
// CHECK:      %[[SB:\w+]] = mask.score "magnitude" %{{\w+}} {layer = "b"
// CHECK-NEXT: %[[GA:\w+]] = mask.keep 24 of %[[SA]] : !mask.scores<8x10> -> !mask.mask<8x10, groups(4)>
// CHECK-NEXT: %[[GB:\w+]] = mask.keep 72 of %[[SB]] : !mask.scores<4x8x3x3> -> !mask.mask<4x8x3x3, groups(4)>
// CHECK-NEXT: %[[LA:\w+]] = mask.keep 8 of %[[SA]] within %[[GA]] : !mask.mask<8x10, groups(4)>,  : !mask.scores<8x10> -> !mask.mask<8x10, groups(4, permute = false)>
// CHECK-NEXT: %[[LB:\w+]] = mask.keep 36 of %[[SB]] within %[[GB]]
// CHECK-NEXT: %[[EA:\w+]] = mask.keep 80 of %[[SA]] :
// CHECK-NEXT: %[[EB:\w+]] = mask.keep 108 of %[[SB]] :
// CHECK-NEXT: mask.and %[[LA]], %[[EA]] : !mask.mask<8x10, groups(4, permute = false)>, !mask.mask<8x10, groups(4)> -> !mask.mask<8x10>
