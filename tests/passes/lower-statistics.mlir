// RUN: lottoc opt %s --passes "lower-lotto-to-mask,cse,dce" | filecheck %s
// Two tickets that ask the same of the network ask once; masks of an earlier round go along.
%m = lotto.model {model = "net", source = "torch", path = "net.py", digest = "d", layers = [#lotto.layer<"a", linear, 8x4xf32>, #lotto.layer<"b", linear, 4x8xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "mnist", splits = {}, digest = "d"} : !lotto.data
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%s = lotto.score "snip" %w on %d {options = {}, layers = ["a", "b"], split = "train", training = {threads = 2 : i64}} : !lotto.scores<"net">
%k = lotto.prune %s {scope = "layerwise", density = "1/2", pattern = "unstructured", layers = ["a", "b"]} : !lotto.masks<"net">
%u = lotto.score "snip" %w on %d {options = {samples = 100 : i64}, layers = ["a", "b"], split = "train", training = {threads = 2 : i64}} : !lotto.scores<"net">
%l = lotto.prune %u {scope = "layerwise", density = "1/4", pattern = "unstructured", layers = ["a", "b"]} : !lotto.masks<"net">
%v = lotto.score "snip" %w on %d under %k {options = {}, layers = ["a", "b"], split = "train", training = {threads = 2 : i64}} : !lotto.scores<"net">
%n = lotto.prune %v within %k {scope = "layerwise", density = "1/4", pattern = "unstructured", layers = ["a", "b"]} : !lotto.masks<"net">
lotto.ticket "l" %w under %l shows []() : !lotto.weights<"net">
lotto.ticket "n" %w under %n shows []() : !lotto.weights<"net">

// CHECK:      %[[G:\w+]] = lotto.gather "gradient" %w on %d {options = {norm = "batch", samples = 100 : i64, seed = 0 : i64}, layers = ["a", "b"], split = "train", training = {threads = 2 : i64}} : !lotto.statistics<"net">
// CHECK-NEXT: %[[WA:\w+]] = mask.weight "a" of %w
// CHECK-NEXT: %[[SA:\w+]] = mask.score "snip" %[[WA]] with %[[G]] {layer = "a", options = {}} : !mask.weight<8x4>, !lotto.statistics<"net"> -> !mask.scores<8x4>
// CHECK-NEXT: %[[WB:\w+]] = mask.weight "b" of %w
// CHECK-NEXT: %[[SB:\w+]] = mask.score "snip" %[[WB]] with %[[G]] {layer = "b"
// CHECK-NEXT: %[[KA:\w+]] = mask.keep 16 of %[[SA]]
// CHECK-NEXT: %[[KB:\w+]] = mask.keep 16 of %[[SB]]
// CHECK-NEXT: %[[K:\w+]] = mask.bundle ["a", "b"](%[[KA]], %[[KB]]
// CHECK-NEXT: %[[TA:\w+]] = mask.score "snip" %[[WA]] with %[[G]] {layer = "a", options = {samples = 100 : i64}}
// CHECK-NEXT: %[[TB:\w+]] = mask.score "snip" %[[WB]] with %[[G]]
// CHECK:      %[[H:\w+]] = lotto.gather "gradient" %w on %d under %[[K]] {options
// CHECK-NEXT: %[[VA:\w+]] = mask.score "snip" %[[WA]] with %[[H]]
// CHECK-NEXT: %[[VB:\w+]] = mask.score "snip" %[[WB]] with %[[H]]
// CHECK-NEXT: mask.keep 8 of %[[VA]] within %[[KA]]
// CHECK-NOT:  lotto.gather
