// RUN: lottoc opt %s --passes lower-lotto-to-mask,cse,dce | filecheck %s
// Where weights are used is found once, on one example, whatever masks the work is counted under;
// without masks it is the dense network's.
%m = lotto.model {model = "net", source = "torch", path = "net.py", function = "net", digest = "d", layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "x", splits = {test = {path = "m.npz", x = "x", y = "y"}}, digest = "d"} : !lotto.data
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%s = lotto.score "magnitude" %w {options = {}, layers = ["fc"]} : !lotto.scores<"net">
%k = lotto.prune %s {scope = "global", density = "1/4", pattern = "unstructured", layers = ["fc"]} : !lotto.masks<"net">
%u = lotto.places %m sampled from %d {split = "test"} : !lotto.places<"net">
%f = lotto.flops %u under %k : !lotto.places<"net">
%v = lotto.places %m sampled from %d {split = "test"} : !lotto.places<"net">
%g = lotto.flops %v : !lotto.places<"net">
lotto.ticket "t" %w under %k shows ["flops"](%f) : !lotto.weights<"net">
lotto.ticket "dense" %w shows ["flops"](%g) : !lotto.weights<"net">

// CHECK:      %[[K:\w+]] = mask.bundle
// CHECK:      %[[U:\w+]] = lotto.places %m sampled from %d {split = "test"} : !lotto.places<"net">
// CHECK-NEXT: %[[F:\w+]] = lotto.flops %[[U]] under %[[K]] : !lotto.places<"net">
// CHECK-NEXT: %[[G:\w+]] = lotto.flops %[[U]] : !lotto.places<"net">
// CHECK-NEXT: lotto.ticket "t" {{.*}} shows ["flops"](%[[F]])
// CHECK-NEXT: lotto.ticket "dense" {{.*}} shows ["flops"](%[[G]])
