// RUN: lottoc opt %s --passes unroll-methods | filecheck %s
// Dense weights stand behind the masks: there is none to start under.
%m = lotto.model {model = "net", source = "torch", path = "net.py", function = "net", digest = "d", layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "mnist", splits = {}, digest = "d"} : !lotto.data
%w0 = lotto.init %m seed 0 : !lotto.weights<"net">
%masks, %start, %final = lotto.find "sr_ste" %w0 on %d {ticket = "t", options = {}, layers = ["fc"], criterion = "magnitude", criterion_options = {}, scope = "global", density = "1/2", pattern = "2:4", training = {steps = 2000 : i64}} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
lotto.ticket "t" %final under %masks shows []() : !lotto.weights<"net">

// CHECK-NOT:  lotto.prune
// CHECK:      lotto.train_sparse "sr_ste" %w0 on %d from 0 to 2000 {options = {decay = 2.000000e-04 : f64}, layers = ["fc"], scope = "global", density = "1/2", pattern = "2:4"
