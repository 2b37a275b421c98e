// RUN: not lottoc opt %s --passes lower-lotto-to-mask 2>&1 | filecheck %s
%m = lotto.model {model = "net", source = "torch", path = "net.py", digest = "d", layers = [#lotto.layer<"a", linear, 8x4xf32>]} : !lotto.model<"net">
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%s = lotto.score "snip" %w {options = {}, layers = ["a"]} : !lotto.scores<"net">

// CHECK: error[pass-failed]: "snip" looks at data, and there is none
// CHECK: lower-statistics-without-data.mlir:4:6
// CHECK: help: write  lotto.score "snip" %weights on %data
