// RUN: not lottoc opt %s --passes "unroll-methods{tickets=rounds}" 2>&1 | filecheck %s --check-prefix ROUNDS
// RUN: not lottoc opt %s --passes "unroll-methods{tickets=unknown}" 2>&1 | filecheck %s --check-prefix UNKNOWN
// RUN: not lottoc opt %s --passes "unroll-methods{tickets=kind}" 2>&1 | filecheck %s --check-prefix KIND
// RUN: not lottoc opt %s --passes "unroll-methods{tickets=many}" 2>&1 | filecheck %s --check-prefix MANY
// RUN: not lottoc opt %s --passes "unroll-methods{tickets=untrained}" 2>&1 | filecheck %s --check-prefix UNTRAINED
// RUN: not lottoc opt %s --passes "unroll-methods{tickets=length}" 2>&1 | filecheck %s --check-prefix LENGTH
// RUN: not lottoc opt %s --passes "unroll-methods{tickets=nobody}" 2>&1 | filecheck %s --check-prefix NOBODY
// Options of a method are read as the recipe's are: known names, right types, sensible numbers.
%m = lotto.model {model = "net", source = "torch", path = "net.py", function = "net", digest = "d", layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "x", splits = {}, digest = "d"} : !lotto.data
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%k1, %s1, %f1 = lotto.find "imp" %w on %d {ticket = "rounds", options = {rounds = 0 : i64}, layers = ["fc"], criterion = "magnitude", criterion_options = {}, scope = "global", density = "1/4", pattern = "unstructured", training = {steps = 10 : i64}} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
%k2, %s2, %f2 = lotto.find "imp" %w on %d {ticket = "unknown", options = {round = 2 : i64}, layers = ["fc"], criterion = "magnitude", criterion_options = {}, scope = "global", density = "1/4", pattern = "unstructured", training = {steps = 10 : i64}} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
%k3, %s3, %f3 = lotto.find "imp" %w on %d {ticket = "kind", options = {retrain = "never"}, layers = ["fc"], criterion = "magnitude", criterion_options = {}, scope = "global", density = "1/4", pattern = "unstructured", training = {steps = 10 : i64}} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
%k4, %s4, %f4 = lotto.find "imp" %w on %d {ticket = "many", options = {rounds = 1000000000000 : i64}, layers = ["fc"], criterion = "magnitude", criterion_options = {}, scope = "global", density = "1/4", pattern = "unstructured", training = {steps = 10 : i64}} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
%k5, %s5, %f5 = lotto.find "one_shot" %w on %d {ticket = "length", options = {}, layers = ["fc"], criterion = "magnitude", criterion_options = {}, scope = "global", density = "1/4", pattern = "unstructured", training = {steps = "ten"}} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
%k6, %s6, %f6 = lotto.find "imp" %w {ticket = "untrained", options = {rewind = 3 : i64}, layers = ["fc"], criterion = "magnitude", criterion_options = {}, scope = "global", density = "1/4", pattern = "unstructured"} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">

// ROUNDS: error[pass-failed]: rounds is 0, not from 1 to 10000
// UNKNOWN: error[pass-failed]: imp: unknown option "round"
// UNKNOWN: help: did you mean "rounds"?
// KIND: error[pass-failed]: imp: option "retrain" is 'never', not rewind or learning_rate or finetune
// MANY: error[pass-failed]: rounds is 1000000000000, not from 1 to 10000
// UNTRAINED: error[rewind-past-end]: rewinding to step 3 leaves nothing to train: the training has 0 steps
// LENGTH: error[pass-failed]: the training has 'ten' steps, which is no number
// NOBODY: error[pass-failed]: there is no ticket "nobody" to find
