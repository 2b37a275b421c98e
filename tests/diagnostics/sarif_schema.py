"""The part of the SARIF 2.1.0 schema that lottoc's logs touch, and a check against it.

Transcribed by hand from OASIS "Static Analysis Results Interchange Format 2.1.0", section 3: for
each kind of object its properties, those it must have, and what each holds; nothing else may stand
there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

TEXT, LINE, INDEX = "text", "line", "index"
OBJECTS: dict[str, tuple[set[str], dict[str, Any]]] = {
    "log": ({"version", "runs"}, {"$schema": "uri", "version": {"2.1.0"}, "runs": ["run"]}),
    "run": (
        {"tool"},
        {
            "tool": "tool",
            "columnKind": {"utf16CodeUnits", "unicodeCodePoints"},
            "results": ["result"],
        },
    ),
    "tool": ({"driver"}, {"driver": "component"}),
    "component": ({"name"}, {"name": TEXT, "version": TEXT, "rules": ["rule"]}),
    "rule": (
        {"id"},
        {
            "id": TEXT,
            "shortDescription": "message",
            "help": "message",
            "defaultConfiguration": "configuration",
        },
    ),
    "configuration": (set(), {"level": {"none", "note", "warning", "error"}}),
    "message": ({"text"}, {"text": TEXT, "markdown": TEXT}),
    "result": (
        {"message"},
        {
            "ruleId": TEXT,
            "ruleIndex": INDEX,
            "level": {"none", "note", "warning", "error"},
            "message": "message",
            "locations": ["location"],
            "relatedLocations": ["location"],
            "fixes": ["fix"],
        },
    ),
    "location": (
        set(),
        {"id": INDEX, "physicalLocation": "physicalLocation", "message": "message"},
    ),
    "physicalLocation": (
        {"artifactLocation"},
        {"artifactLocation": "artifactLocation", "region": "region"},
    ),
    "artifactLocation": ({"uri"}, {"uri": "uri"}),
    "region": (
        {"startLine"},
        {"startLine": LINE, "startColumn": LINE, "endLine": LINE, "endColumn": LINE},
    ),
    "fix": ({"artifactChanges"}, {"description": "message", "artifactChanges": ["change"]}),
    "change": (
        {"artifactLocation", "replacements"},
        {"artifactLocation": "artifactLocation", "replacements": ["replacement"]},
    ),
    "replacement": (
        {"deletedRegion"},
        {"deletedRegion": "region", "insertedContent": "content"},
    ),
    "content": (set(), {"text": TEXT}),
}
_FILLED = {"change", "replacement"}
"""Lists of these have at least one item."""

_URI = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?#-]|%[0-9A-F]{2})+")  # RFC 3986


def faults(value: Any, kind: Any = "log", at: str = "log") -> Iterator[str]:
    """Where a log is not what the schema demands."""
    match kind:
        case set():
            yield from [] if value in kind else [f"{at}: {value!r}"]
        case [item]:
            if not isinstance(value, list) or (item in _FILLED and not value):
                yield f"{at}: no list of {item}"
                return
            for number, each in enumerate(value):
                yield from faults(each, item, f"{at}[{number}]")
        case "text":
            yield from [] if isinstance(value, str) else [f"{at}: no text"]
        case "uri":
            yield from [] if _URI.fullmatch(value) else [f"{at}: no URI: {value!r}"]
        case "line" | "index":
            least = 1 if kind == "line" else 0
            yield from [] if type(value) is int and value >= least else [f"{at}: {value!r}"]
        case _:
            needed, known = OBJECTS[kind]
            yield from (f"{at}: no {name}" for name in needed - value.keys())
            yield from (f"{at}: unknown {name}" for name in value.keys() - known.keys())
            for name in value.keys() & known.keys():
                yield from faults(value[name], known[name], f"{at}.{name}")
