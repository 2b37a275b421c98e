"""Every diagnostic code that the sources can give, read from the sources themselves."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("lottoc", "passes", "backends", "grammar")
_CALL = re.compile(
    r"(?:\.error|\.warning|\.note|input_error|_error|Diagnostic|_wrong|_user_code|InputError"
    r'|_not_found|fail|_fail|refuse)\(\s*(?:[\w.]+,\s*)?"([a-z]+(?:-[a-z]+)+|internal)"'
)


def raised() -> set[str]:
    """Codes that stand in a call that makes a diagnostic."""
    found = {p.resolve() for folder in FOLDERS for p in (ROOT / folder).rglob("*.py")}
    return {code for path in sorted(found) for code in _CALL.findall(path.read_text())}


def seen() -> set[str]:
    """Codes that the galleries of wrong recipes show."""
    text = "\n".join(page.read_text() for page in sorted((ROOT / "tests").rglob("*.md")))
    return set(re.findall(r"^\w+\[([a-z-]+)\]:", text, re.M))
