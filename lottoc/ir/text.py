"""IR as text: printing is deterministic, and parsing what was printed gives the same IR."""

from __future__ import annotations

from xdsl.context import Context
from xdsl.dialects.arith import Arith
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.parser import Parser
from xdsl.utils.exceptions import ParseError, VerifyException

from lottoc.diagnostics import Diagnostic, RecipeError
from lottoc.ir.lotto import LottoDialect
from lottoc.ir.mask import MaskDialect


def context() -> Context:
    """An xDSL context that knows both dialects and the arithmetic of `require`."""
    result = Context()
    for dialect in (Builtin, Arith, LottoDialect, MaskDialect):
        result.load_dialect(dialect)
    return result


class _TextParser(Parser):
    """Reads every string literal as text.

    xDSL writes letters beyond ASCII as escaped bytes, and would read those back as bytes.
    """

    def parse_optional_str_literal(self) -> str | None:
        text = super().parse_optional_str_literal()
        if text is None and (raw := self.parse_optional_bytes_literal()) is not None:
            text = raw.decode()
        return text


def to_text(module: ModuleOp) -> str:
    """The module as text, with a final line break."""
    return str(module) + "\n"


def from_text(text: str, name: str = "<ir>") -> ModuleOp:
    """Parse and verify IR text.

    Raises `RecipeError`: `ir-syntax` where the text is not IR, `ir-invalid` where it breaks a law
    of an operation or type.
    """
    try:
        module = _TextParser(context(), text, name).parse_module()
        module.verify()
    except (ParseError, UnicodeDecodeError) as error:
        raise RecipeError([Diagnostic("ir-syntax", str(error).strip(), file=name)]) from error
    except VerifyException as error:
        raise RecipeError([Diagnostic("ir-invalid", _first_line(error), file=name)]) from error
    return module


def _first_line(error: VerifyException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "the IR does not verify"
