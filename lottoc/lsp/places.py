"""What stands at a place of a recipe: its item, its entry, and the values around it."""

from __future__ import annotations

from dataclasses import dataclass

from lottoc.grammar import syntax


@dataclass(frozen=True)
class Place:
    """An offset in a tree. `values` lead from the whole value to the innermost part of it."""

    item: syntax.Item
    entry: syntax.Entry | None
    values: tuple[syntax.Node, ...]

    @property
    def kind(self) -> str:
        """The kind of the block around it, or empty."""
        return self.item.kind if isinstance(self.item, syntax.Block) else ""

    @property
    def key(self) -> str:
        """The key of the entry around it, or empty."""
        return self.entry.key if self.entry else ""


def place(recipe: syntax.Recipe, offset: int) -> Place | None:
    """What stands at an offset; a word's end still belongs to it."""
    path = [node for node in _path(recipe, offset) if not isinstance(node, syntax.Recipe)]
    if not path:
        return None
    item, *rest = path
    entry = next((node for node in rest if isinstance(node, syntax.Entry)), None)
    values = tuple(node for node in rest if not isinstance(node, syntax.Entry))
    assert isinstance(item, syntax.Item)
    return Place(item, entry, values)


def _path(node: syntax.Node, offset: int) -> list[syntax.Node]:
    path = [node]
    while True:
        around = [c for c in syntax.children(path[-1]) if c.span.start <= offset <= c.span.end]
        if not around:
            return path
        inside = [child for child in around if offset < child.span.end]
        path.append((inside or around)[0])
