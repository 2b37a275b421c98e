"""How a torch model's function is called: `net`, or `net(depth=2, width=16)`."""

from __future__ import annotations

import ast
from collections.abc import Mapping

Value = bool | int | float | str


def call_text(function: str, arguments: Mapping[str, Value]) -> str:
    """The call as text, arguments sorted by name; equal calls are equal texts."""
    if not arguments:
        return function
    return f"{function}({', '.join(f'{name}={arguments[name]!r}' for name in sorted(arguments))})"


def parse_call(text: str) -> tuple[str, dict[str, Value]] | None:
    """The function and its arguments, plain values by name; None if it is no such call."""
    try:
        node = ast.parse(text, mode="eval").body
        if isinstance(node, ast.Name):
            return node.id, {}
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.args:
            return None
        found = {str(k.arg): ast.literal_eval(k.value) for k in node.keywords if k.arg}
    except (SyntaxError, ValueError, RecursionError):
        return None
    plain = all(isinstance(value, bool | int | float | str) for value in found.values())
    return (node.func.id, found) if plain and len(found) == len(node.keywords) else None
