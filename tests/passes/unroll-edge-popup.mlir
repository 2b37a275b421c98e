// RUN: lottoc opt %s --passes unroll-methods | filecheck %s
// Scores are learned from dense on; the weights are those of the start.
%m = lotto.model {model = "net", source = "torch", path = "net.py", function = "net", digest = "d", layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "mnist", splits = {}, digest = "d"} : !lotto.data
%w0 = lotto.init %m seed 0 : !lotto.weights<"net">
%s = lotto.signs %w0 ["fc"] {by_fan_in} : !lotto.weights<"net">
%masks, %start, %final = lotto.find "edge_popup" %s on %d {ticket = "t", options = {seed = 4 : i64}, layers = ["fc"], criterion = "magnitude", criterion_options = {}, scope = "layerwise", density = "1/2", pattern = "unstructured", training = {steps = 2000 : i64}} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
lotto.ticket "t" %final under %masks shows []() : !lotto.weights<"net">

// CHECK:      %[[S:[0-9a-z]+]] = lotto.signs %w0 ["fc"] {by_fan_in}
// CHECK-NOT:  lotto.prune
// CHECK:      lotto.train_sparse "edge_popup" %[[S]] on %d from 0 to 2000 {options = {seed = 4 : i64}, layers = ["fc"], scope = "layerwise", density = "1/2", pattern = "unstructured"
