// RUN: not lottoc opt %s --passes "unroll-methods{tickets=t},expand-splits" 2>&1 | filecheck %s
// RUN: not lottoc opt %s --passes expand-splits 2>&1 | filecheck %s --check-prefix DATA
// What is already unrolled is not found once more, and what is found without data has no parts.
%m = lotto.model {model = "net", source = "torch", path = "net.py", function = "net", digest = "d", layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "x", splits = {}, digest = "d"} : !lotto.data
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%k, %s, %f = lotto.find "one_shot" %w {ticket = "t", options = {}, layers = ["fc"], criterion = "magnitude", criterion_options = {}, scope = "global", density = "1/4", pattern = "unstructured"} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
%p = lotto.part %d {examples = {of = 2 : i64, seed = 0 : i64, share = 1 : i64}} : !lotto.data
%q = lotto.part %d {examples = {of = 2 : i64, seed = 0 : i64, share = 2 : i64}} : !lotto.data
%c, %a, %b = lotto.split "s" %k over(%p, %q) : !lotto.masks<"net">, !lotto.masks<"net">, !lotto.masks<"net">
lotto.ticket "s.core" %f under %c shows []() : !lotto.weights<"net">

// CHECK:      error[pass-failed]: lotto.split takes masks that lotto.find gives
// CHECK:      %c, %a, %b = lotto.split
// CHECK:      help: run expand-splits before unroll-methods

// DATA: error[pass-failed]: ticket "t" is found without data
