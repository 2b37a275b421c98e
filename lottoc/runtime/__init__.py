"""What a compiled `.pt2` file needs to run: operators for pruned weights, and a loader.

    import lottoc.runtime
    model = torch.export.load("model.pt2").module()

It needs torch and nothing else of lottoc: neither the compiler nor what the compiler is built on.
Importing it registers `torch.ops.lottoc.semi_structured_linear`, `.semi_structured_linear_int8`,
`.semi_structured_to_dense`, `.csr_linear` and `.csr_to_dense`.
"""

from __future__ import annotations

from lottoc.runtime import compressed_rows, semi_structured, semi_structured_int8
from lottoc.runtime.load import NotCompiled, load
from lottoc.runtime.two_of_four import NotTwoOfFour, pack, unpack

__all__ = [
    "NotCompiled",
    "NotTwoOfFour",
    "compressed_rows",
    "load",
    "pack",
    "semi_structured",
    "semi_structured_int8",
    "unpack",
]
