"""IR as text: printing is deterministic, and parsing what was printed gives the same IR."""

from __future__ import annotations

import re
from io import StringIO

from xdsl.context import Context
from xdsl.dialects import arith
from xdsl.dialects.builtin import Builtin, DenseIntOrFPElementsAttr, ModuleOp
from xdsl.ir import Dialect, Operation
from xdsl.parser import Parser, ParserState
from xdsl.printer import Printer
from xdsl.utils.exceptions import ParseError, VerifyException
from xdsl.utils.lexer import Input
from xdsl.utils.mlir_lexer import MLIRLexer, MLIRToken, MLIRTokenKind

from lottoc.diagnostics import Diagnostic, Label, RecipeError, Source, Span, did_you_mean
from lottoc.ir.laws import in_house_style, verify
from lottoc.ir.lotto import LottoDialect
from lottoc.ir.mask import MaskDialect
from lottoc.ir.place import at

_NUMBERS = (arith.ConstantOp, arith.AddfOp, arith.SubfOp, arith.MulfOp, arith.DivfOp)

DIALECTS = (
    Dialect("builtin", [ModuleOp], list(Builtin.attributes)),
    Dialect("arith", list(_NUMBERS), list(arith.Arith.attributes)),
    LottoDialect,
    MaskDialect,
)
"""All that IR is made of; of `builtin` and `arith`, only what recipes can say."""


def context() -> Context:
    """An xDSL context that knows both dialects and the arithmetic of `require`."""
    result = Context()
    for dialect in DIALECTS:
        result.load_dialect(dialect)
    return result


class _Lexer(MLIRLexer):
    """xDSL's lexer, safe from text that would take all time or memory.

    An unclosed string is given up at once, where xDSL's tries every way to cut it in pieces; a
    type of 10¹⁸ bits is refused, of which xDSL would compute the largest number.
    """

    _unescaped_characters_regex = re.compile(r'"(?:[^"\\\n\v\f]++|\\(?:["nt\\]|[0-9A-Fa-f]{2}))*+"')
    _too_large = re.compile("[su]?i[0-9]{5,}|[0-9]{1000,}")

    def lex(self) -> MLIRToken:
        token = super().lex()
        if token.kind in _NUMERIC and self._too_large.match(token.text):
            raise ParseError(token.span, "this number is too large")
        return token


_NUMERIC = (MLIRTokenKind.BARE_IDENT, MLIRTokenKind.INTEGER_LIT)


class _TextParser(Parser):
    """Notes where operations stand, and reads every string literal as text.

    xDSL writes letters beyond ASCII as escaped bytes, and would read those back as bytes.
    """

    def __init__(self, source: Source, text: str) -> None:
        super().__init__(context(), "", source.name)
        self._parser_state = ParserState(_Lexer(Input(text, source.name)))
        self.source = source

    def parse_optional_str_literal(self) -> str | None:
        text = super().parse_optional_str_literal()
        if text is None and (raw := self.parse_optional_bytes_literal()) is not None:
            try:
                text = raw.decode()
            except UnicodeDecodeError:
                self.raise_error("this text is not UTF-8")
        return text

    def _parse_builtin_dense_attr(self) -> DenseIntOrFPElementsAttr:
        """xDSL would fill memory with `dense<0> : tensor<1000000000000xf32>`."""
        self.raise_error("IR holds no tensors: weights and masks stay in their files")

    def parse_operation(self) -> Operation:
        start = self.pos
        op = super().parse_operation()
        named = max(start, self.source.text.find(op.name, start))
        op.location = at(Span(self.source, named, named + len(op.name)))
        return op


def to_text(module: ModuleOp, *, generic: bool = False) -> str:
    """The module as text, with a final line break; `generic` writes every operation alike."""
    stream = StringIO()
    Printer(stream, print_generic_format=generic).print_op(module)
    return stream.getvalue() + "\n"


def from_text(text: str, name: str = "<ir>") -> ModuleOp:
    """Parse and verify IR text; raises what `parse` raises."""
    return parse(Source(name, text))


def parse(source: Source, start: int = 0, end: int | None = None) -> ModuleOp:
    """Parse and verify IR text, or the part of it between two offsets.

    Raises `RecipeError`: `ir-syntax` where the text is not IR, `ir-invalid` where it breaks a law
    of an operation or type.
    """
    text = " " * start + source.text[start:end]  # offsets stay those of the whole text
    parser = None
    try:
        parser = _TextParser(source, text)
        module = parser.parse_module()
    except ParseError as error:
        raise _syntax_error(source, error) from error
    except VerifyException as error:
        position = parser.pos if parser else start
        raise _wrong(source, "ir-invalid", str(error), position) from error
    except RecursionError as error:
        position = parser.pos if parser else start
        raise _wrong(source, "ir-syntax", "nested too deep", position) from error
    except Exception as error:  # xDSL's parser meets some damaged text unprepared
        position = parser.pos if parser else start
        raise _wrong(source, "ir-syntax", _surprise(error), position) from error
    verify(module)
    return module


def _syntax_error(source: Source, error: ParseError) -> RecipeError:
    unknown = re.fullmatch(r"Operation (\S+) is not registered", error.msg)
    if unknown is None:
        return _wrong(source, "ir-syntax", error.msg, error.span.start, error.span.end)
    name, known = unknown[1], [op.name for dialect in DIALECTS for op in dialect.operations]
    start = max(0, source.text.rfind(name, 0, error.span.start))  # xDSL points behind it
    label = Label(Span(source, start, start + len(name)))
    message, help = f'there is no operation "{name[:100]}"', did_you_mean(name, known)
    return RecipeError([Diagnostic("ir-syntax", message, (label,), help)])


def _surprise(error: Exception) -> str:
    if "zip()" in str(error):
        return "there are not as many types as values"
    return f"this is not IR ({type(error).__name__}: {error})"


def _wrong(
    source: Source, code: str, message: str, start: int, end: int | None = None
) -> RecipeError:
    start = min(start, len(source.text))
    label = Label(Span(source, start, max(start, min(end or start, len(source.text)))))
    message = message.replace("Could not parse entire input", "expected an operation")
    return RecipeError([Diagnostic(code, in_house_style(message), (label,))])
