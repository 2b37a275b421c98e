// RUN: lottoc opt %s --passes expand-splits | filecheck %s
// RUN: lottoc opt %s --passes expand-splits,unroll-methods,cse,lower-lotto-to-mask | filecheck %s --check-prefix MASKS
// A ticket is found on each of three parts as it was on the whole: from the same start, by the same
// method, only the data is another. The core is what all of them keep.
%m = lotto.model {model = "net", source = "torch", path = "net.py", function = "net", digest = "d", layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">
%d = lotto.data {data = "x", splits = {}, digest = "d"} : !lotto.data
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%k, %s, %f = lotto.find "one_shot" %w on %d {ticket = "t", options = {}, layers = ["fc"], criterion = "snip", criterion_options = {}, scope = "global", density = "1/4", pattern = "unstructured"} : !lotto.masks<"net">, !lotto.weights<"net">, !lotto.weights<"net">
%p = lotto.part %d {examples = {classes = [0 : i64, 1 : i64]}} : !lotto.data
%q = lotto.part %d {examples = {classes = [2 : i64]}} : !lotto.data
%r = lotto.part %d {examples = {of = 2 : i64, seed = 0 : i64, share = 2 : i64}} : !lotto.data
%c, %a, %b, %e = lotto.split "s" %k over(%p, %q, %r) : !lotto.masks<"net">, !lotto.masks<"net">, !lotto.masks<"net">, !lotto.masks<"net">
%g = lotto.graft %f with %s under %b : !lotto.weights<"net">
lotto.ticket "t" %f under %k shows []() : !lotto.weights<"net">
lotto.ticket "s.core" %f under %c shows []() : !lotto.weights<"net">
lotto.ticket "s.specialist(2)" %g under %b shows []() : !lotto.weights<"net">
lotto.ticket "s.specialist(3)" %g under %e shows []() : !lotto.weights<"net">

// CHECK:      %k, %s, %f = lotto.find "one_shot" %w on %d {ticket = "t"
// CHECK:      %[[K1:\w+]], %{{\w+}}, %{{\w+}} = lotto.find "one_shot" %w on %p {ticket = "s.part(1)"
// CHECK-NEXT: %[[K2:\w+]], %{{\w+}}, %{{\w+}} = lotto.find "one_shot" %w on %q {ticket = "s.part(2)"
// CHECK-NEXT: %[[K3:\w+]], %{{\w+}}, %{{\w+}} = lotto.find "one_shot" %w on %r {ticket = "s.part(3)"
// CHECK-NEXT: %[[TWO:\w+]] = lotto.and %[[K1]], %[[K2]]
// CHECK-NEXT: %[[CORE:\w+]] = lotto.and %[[TWO]], %[[K3]]
// CHECK-NEXT: %{{\w+}} = lotto.sub %[[K1]], %[[CORE]]
// CHECK-NEXT: %[[S2:\w+]] = lotto.sub %[[K2]], %[[CORE]]
// CHECK-NEXT: %[[S3:\w+]] = lotto.sub %[[K3]], %[[CORE]]
// CHECK-NEXT: lotto.graft %f with %s under %[[S2]]
// CHECK-NEXT: lotto.ticket "t" %f under %k
// CHECK-NEXT: lotto.ticket "s.core" %f under %[[CORE]]
// CHECK-NEXT: lotto.ticket "s.specialist(2)"
// CHECK-NEXT: lotto.ticket "s.specialist(3)" %{{.*}} under %[[S3]]
// CHECK-NOT:  lotto.split

// MASKS-COUNT-4: mask.keep_global 32
// MASKS-COUNT-2: mask.and
// MASKS-COUNT-2: mask.sub
