// RUN: lottoc opt %s --passes lower-lotto-to-mask | filecheck %s
// RUN: lottoc opt %s --passes lower-lotto-to-mask,lower-lotto-to-mask | filecheck %s
// A program that is lowered in part, or already: bundles give the layers of what is lowered.
%m = lotto.model {model = "net", source = "torch", path = "net.py", function = "net", digest = "d", layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%a = mask.weight "fc" of %w : !lotto.weights<"net"> -> !mask.weight<8x16>
%s = mask.score "magnitude" %a {layer = "fc", options = {}} : !mask.weight<8x16> -> !mask.scores<8x16>
%k = mask.keep 12 of %s : !mask.scores<8x16> -> !mask.mask<8x16>
%b = mask.bundle ["fc"](%k : !mask.mask<8x16>) -> !lotto.masks<"net">
%n = lotto.not %b : !lotto.masks<"net">
%x = lotto.xor %b, %n : !lotto.masks<"net">
lotto.ticket "t" %w under %x shows []() : !lotto.weights<"net">

// CHECK:      %[[K:\w+]] = mask.keep 12
// CHECK:      %[[N:\w+]] = mask.not %[[K]]
// CHECK:      %[[X:\w+]] = mask.xor %[[K]], %[[N]]
// CHECK-NEXT: %[[B:\w+]] = mask.bundle ["fc"](%[[X]]
// CHECK-NEXT: lotto.ticket "t" %w under %[[B]]
