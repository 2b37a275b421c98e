// RUN: not lottoc opt %s --passes "lower-lotto-to-mask" 2>&1 | filecheck %s
%m = lotto.model {model = "net", source = "torch", path = "net.py", digest = "d", layers = [#lotto.layer<"q", linear, 8x8xf32, reads 0>]} : !lotto.model<"net">
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%s = lotto.score "magnitude" %w {options = {}, layers = ["q"]} : !lotto.scores<"net">
%a = lotto.prune %s {scope = "global", density = "1/2", pattern = "permuted(2, 4)", layers = ["q"]} : !lotto.masks<"net">
lotto.emit "fx" "a.pt2" %w under %a {ticket = "a", options = {format = "dense"}} : !lotto.weights<"net">

// CHECK: error[pass-failed]
// CHECK-SAME: an artefact of kind "fx" cannot have its channels in another order yet
