// RUN: not lottoc opt %s --passes check-collapse 2>&1 | filecheck %s
// RUN: not lottoc opt %s --passes "check-collapse{least=20}" 2>&1 | filecheck %s --check-prefix LEAST
// RUN: lottoc opt %s --passes "check-collapse{least=0}" | filecheck %s --check-prefix NONE
// A layer that must end empty is refused before any training, at the operation that empties it.
%m = lotto.model {model = "net", source = "torch", path = "net.py", function = "net", digest = "d", layers = [#lotto.layer<"fc", linear, 8x16xf32>]} : !lotto.model<"net">
%w = lotto.init %m seed 0 : !lotto.weights<"net">
%a = mask.weight "fc" of %w : !lotto.weights<"net"> -> !mask.weight<8x16>
%s = mask.score "magnitude" %a {layer = "fc", options = {}} : !mask.weight<8x16> -> !mask.scores<8x16>
%k = mask.keep 0 of %s : !mask.scores<8x16> -> !mask.mask<8x16>
%l = mask.keep 12 of %s : !mask.scores<8x16> -> !mask.mask<8x16>
%g1, %g2 = mask.keep_global 1 of (%s, %s : !mask.scores<8x16>, !mask.scores<8x16>) within () -> !mask.mask<8x16>, !mask.mask<8x16>
%r1, %r2 = mask.keep_global 0 of (%s, %s : !mask.scores<8x16>, !mask.scores<8x16>) within () -> !mask.mask<8x16, rows>, !mask.mask<8x16, rows>

// CHECK:      error[layer-collapse]: layer "fc" would keep none of its 128 weights
// CHECK-NEXT: check-collapse.mlir:9:6
// CHECK-NEXT: |
// CHECK-NEXT: 9 | %k = mask.keep 0 of %s
// CHECK-NEXT: |      ^^^^^^^^^
// CHECK:      help: prune less
// CHECK:      error[layer-collapse]: 1 weights cannot keep 2 layers alive
// CHECK-NOT:  keep 12
// CHECK-NOT:  0 weights

// LEAST: layer "fc" would keep none of its 128 weights
// LEAST: layer "fc" would keep 12 of its 128 weights
// LEAST: 1 weights cannot keep 2 layers alive at 20 weights each
// LEAST: 0 weights cannot keep 2 layers alive at 20 weights each

// NONE: mask.keep 0
