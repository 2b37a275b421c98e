"""One run over several recipes: no one's mistakes stop another, the worst exit code counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lottoc.diagnostics import Findings, LottoError


class SomeFailed(LottoError):
    """What was wrong with several recipes, and what came of all of them."""

    def __init__(self, errors: Sequence[LottoError], result: dict[str, Any]) -> None:
        super().__init__([d for error in errors for d in error.diagnostics])
        self.exit_code = max(error.exit_code for error in errors)  # type: ignore[misc]
        self.result = result


def together(
    results: Sequence[dict[str, Any]], errors: Sequence[LottoError], key: str
) -> dict[str, Any]:
    """What `--format json` prints: of one recipe its result, of several a list under `key`.

    Raises the error of the only recipe, or `SomeFailed`.
    """
    if len(results) == 1:
        if errors:
            raise errors[0]
        return {key: value for key, value in results[0].items() if key != "exit_code"}
    result = {key: list(results)}
    if errors:
        raise SomeFailed(errors, result)
    return result


@contextmanager
def own_errors(findings: Findings) -> Iterator[Findings]:
    """Findings of one recipe; its warnings and notes are handed on, its errors are its own."""
    own = Findings()
    try:
        yield own
    finally:
        findings.diagnostics += [d for d in own.diagnostics if d.severity != "error"]
