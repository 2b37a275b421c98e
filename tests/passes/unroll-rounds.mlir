// RUN: lottoc opt %s --passes unroll-methods | filecheck %s
// A criterion that prunes in rounds is scored anew under the masks found so far; nothing is trained meanwhile.
%m = lotto.model {model = "net", source = "torch", path = "net.py", digest = "d", layers = [#lotto.layer<"a", linear, 8x8xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "mnist", splits = {}, digest = "d"} : !lotto.data
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%masks, %start, %final = lotto.find "one_shot" %w on %d {ticket = "t", options = {}, layers = ["a"], criterion = "synflow", criterion_options = {rounds = 3 : i64}, scope = "global", density = "1/8", pattern = "unstructured", inverted} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
lotto.ticket "t" %final under %masks shows []() : !lotto.weights<"net">
%nm, %nstart, %nfinal = lotto.find "one_shot" %w on %d {ticket = "n", options = {}, layers = ["a"], criterion = "synflow", criterion_options = {}, scope = "global", density = "1/2", pattern = "2:4"} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
lotto.ticket "n" %nfinal under %nm shows []() : !lotto.weights<"net">

// CHECK:      %[[S1:\w+]] = lotto.score "synflow" %w on %d {options = {rounds = 3 : i64}, layers = ["a"], inverted, split = "train", training = {}} : !lotto.scores<"net">
// CHECK-NEXT: %[[M1:\w+]] = lotto.prune %[[S1]] {scope = "global", density = "1/2", pattern = "unstructured", layers = ["a"]}
// CHECK-NEXT: %[[S2:\w+]] = lotto.score "synflow" %w on %d under %[[M1]] {options
// CHECK-NEXT: %[[M2:\w+]] = lotto.prune %[[S2]] within %[[M1]] {scope = "global", density = "1/4"
// CHECK-NEXT: %[[S3:\w+]] = lotto.score "synflow" %w on %d under %[[M2]] {options
// CHECK-NEXT: %[[M3:\w+]] = lotto.prune %[[S3]] within %[[M2]] {scope = "global", density = "1/8"
// CHECK-NEXT: lotto.ticket "t" %w under %[[M3]]
// CHECK-NEXT: %[[P1:\w+]] = lotto.score "synflow" %w on %d {options
// CHECK-NEXT: %[[Q1:\w+]] = lotto.prune %[[P1]] {scope = "global", density = "3/4", pattern = "3:4"
// CHECK-NEXT: %[[P2:\w+]] = lotto.score "synflow" %w on %d under %[[Q1]] {options
// CHECK-NEXT: %[[Q2:\w+]] = lotto.prune %[[P2]] within %[[Q1]] {scope = "global", density = "1/2", pattern = "2:4"
// CHECK-NEXT: lotto.ticket "n" %w under %[[Q2]]
