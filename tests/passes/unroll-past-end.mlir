// RUN: not lottoc opt %s --passes unroll-methods 2>&1 | filecheck %s
%m = lotto.model {model = "net", source = "torch", path = "net.py", function = "net", digest = "d", layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "x", splits = {}, digest = "d"} : !lotto.data
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%k, %s, %f = lotto.find "imp" %w on %d {ticket = "t", options = {rounds = 1 : i64, rewind = 10 : i64}, layers = ["fc"], criterion = "magnitude", criterion_options = {}, scope = "global", density = "1/4", pattern = "unstructured", training = {steps = 10 : i64}} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">

// CHECK: error[rewind-past-end]: rewinding to step 10 leaves nothing to train: the training has 10 steps
// CHECK: unroll-past-end.mlir:5:14
