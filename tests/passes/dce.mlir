// RUN: lottoc opt %s --passes dce | filecheck %s
// A training that no ticket, contract or artefact asks for is not done, nor what leads to it.
%m = lotto.model {model = "net", source = "torch", path = "net.py", function = "net", digest = "d", layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "x", splits = {}, digest = "d"} : !lotto.data
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%t = lotto.train %w on %d from 0 to 9 {optimizer = "fresh", training = {steps = 9 : i64}} : !lotto.weights<"net">
%s = lotto.score "magnitude" %t {options = {}, layers = ["fc"]} : !lotto.scores<"net">
lotto.ticket "start" %w shows []() : !lotto.weights<"net">

// CHECK:      lotto.model
// CHECK-NEXT: lotto.init
// CHECK-NEXT: lotto.ticket "start"
// CHECK-NEXT: }
