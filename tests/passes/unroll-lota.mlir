// RUN: lottoc opt %s --passes unroll-methods | filecheck %s
// The mask keeps the largest of what fine-tuning changed; then it starts again from θ_0.
%m = lotto.model {model = "net", source = "torch", path = "net.py", function = "net", digest = "d", layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "mnist", splits = {}, digest = "d"} : !lotto.data
%w0 = lotto.init %m seed 0 : !lotto.weights<"net">
%masks, %start, %final = lotto.find "lota" %w0 on %d {ticket = "t", options = {calibrate = 50 : i64}, layers = ["fc"], criterion = "task_vector", criterion_options = {}, scope = "global", density = "1/10", pattern = "unstructured", training = {steps = 2000 : i64}} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
lotto.ticket "t" %final under %masks shows []() : !lotto.weights<"net">
%next, %begin, %end = lotto.find "lota" %final on %d excluding %masks {ticket = "u", options = {calibrate = 50 : i64}, layers = ["fc"], criterion = "task_vector", criterion_options = {}, scope = "global", density = "1/10", pattern = "unstructured", training = {steps = 2000 : i64}} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
lotto.ticket "u" %end under %next shows []() : !lotto.weights<"net">

// CHECK:      %[[F:\w+]] = lotto.train %w0 on %d from 0 to 50 {optimizer = "fresh"
// CHECK-NEXT: %[[D:\w+]] = lotto.difference %[[F]] from %w0 : !lotto.weights<"net">
// CHECK-NEXT: %[[S:\w+]] = lotto.score "task_vector" %[[D]] {options = {}, layers = ["fc"]}
// CHECK-NEXT: %[[M:\w+]] = lotto.prune %[[S]] {scope = "global", density = "1/10", pattern = "unstructured", layers = ["fc"]}
// CHECK-NEXT: %[[T:\w+]] = lotto.train %w0 on %d under %[[M]] from 0 to 2000 {optimizer = "fresh", training = {steps = 2000 : i64}, frozen}
// CHECK-NEXT: lotto.ticket "t" %[[T]] under %[[M]]
// A ticket that excludes another calibrates and trains what is free.
// CHECK-NEXT: %[[N:\w+]] = lotto.not %[[M]] : !lotto.masks<"net">
// CHECK-NEXT: %[[G:\w+]] = lotto.train %[[T]] on %d under %[[N]] from 0 to 50 {optimizer = "fresh", training = {steps = 2000 : i64}, frozen}
// CHECK-NEXT: %[[E:\w+]] = lotto.difference %[[G]] from %[[T]] : !lotto.weights<"net">
// CHECK-NEXT: %[[R:\w+]] = lotto.score "task_vector" %[[E]]
// CHECK-NEXT: %[[K:\w+]] = lotto.prune %[[R]] within %[[N]] {scope = "global"
// CHECK-NEXT: %[[U:\w+]] = lotto.train %[[T]] on %d under %[[K]] from 0 to 2000 {optimizer = "fresh", training = {steps = 2000 : i64}, frozen}
// CHECK-NEXT: lotto.ticket "u" %[[U]] under %[[K]]
