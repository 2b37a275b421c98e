"""Small plots as SVG, drawn without a library: equal numbers, equal bytes."""

from __future__ import annotations

from collections.abc import Sequence

_WIDTH, _HEIGHT = 480, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 28, 44


def line_plot(
    title: str,
    across: str,
    up: str,
    points: Sequence[tuple[float, float]],
    *,
    level: tuple[float, str] | None = None,
) -> str:
    """One line through points that are evenly spaced, x written beside each; `level` is dashed."""
    heights = [y for _, y in points] + ([level[0]] if level else []) + [0.0]
    low, high = min(heights), max(heights)
    high = high if high > low else low + 1.0

    def x_at(index: int) -> float:
        room = _WIDTH - _LEFT - _RIGHT
        return _LEFT + room * ((index + 0.5) / len(points))

    def y_at(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low)

    bottom = _HEIGHT - _BOTTOM
    middle = (_TOP + bottom) / 2
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_WIDTH / 2, 16, title, "middle"),
        _text(_WIDTH / 2, _HEIGHT - 8, across, "middle"),
        f'<text x="14" y="{middle:.1f}" text-anchor="middle" '
        f'transform="rotate(-90 14 {middle:.1f})">{_escaped(up)}</text>',
        _line(_LEFT, _TOP, _LEFT, bottom),
        _line(_LEFT, y_at(0.0), _WIDTH - _RIGHT, y_at(0.0)),
    ]
    for step in range(5):
        value = low + (high - low) * step / 4
        lines.append(_text(_LEFT - 6, y_at(value) + 4, f"{value:.3g}", "end"))
    for index, (x, _) in enumerate(points):
        lines.append(_text(x_at(index), bottom + 16, f"{x:g}", "middle"))
    if level is not None:
        lines.append(_line(_LEFT, y_at(level[0]), _WIDTH - _RIGHT, y_at(level[0]), "4 3"))
        lines.append(_text(_WIDTH - _RIGHT, y_at(level[0]) - 4, level[1], "end"))
    places = [(x_at(index), y_at(y)) for index, (_, y) in enumerate(points)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    lines.append(f'<polyline points="{path}" fill="none" stroke="#1f77b4" stroke-width="2"/>')
    lines += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#1f77b4"/>' for x, y in places]
    return "\n".join([*lines, "</svg>", ""])


def _line(x1: float, y1: float, x2: float, y2: float, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    place = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {place} stroke="#555"{dashed}/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
