"""`import "other.lotto"`: the blocks of other recipes, brought in by name.

A file is looked for beside the one that imports it, then, if its path begins with `presets/`,
among the presets that come with lottoc. It is read once, however often it is imported. File names
inside it are relative to its own folder. A param of the importing file takes the place of an
imported one of the same name; any other name given twice is an error as in one file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from lottoc.diagnostics import Findings, InputError, Label, RecipeError, Source, did_you_mean
from lottoc.grammar import syntax
from lottoc.grammar.parser import parse
from lottoc.recipe_file import read

PRESETS = "presets"


@dataclass
class Imported:
    """The items of a recipe and of all that it imports, imported ones first."""

    items: list[syntax.Item] = field(default_factory=list)
    folders: dict[Source, Path] = field(default_factory=dict)
    """For each imported file the folder that its paths are relative to."""

    @property
    def sources(self) -> tuple[Source, ...]:
        """The imported files."""
        return tuple(self.folders)


def used(imported: Imported) -> list[syntax.Item]:
    """The items of the recipe itself, and of imported ones what it uses, however indirectly.

    An imported ticket, mask, model, data set or training is used if a used item names it. A model,
    data set or training may also be used without a name, where the recipe has no other.
    """
    if not imported.folders:
        return imported.items
    own = [item for item in imported.items if item.span.source not in imported.folders]
    rest = [item for item in imported.items if item.span.source in imported.folders]
    chosen = [item for item in rest if not _may_go(item)]
    while True:
        named = {n.value for n in nodes([*own, *chosen]) if isinstance(n, syntax.Name)}
        more = [item for item in rest if item not in chosen and _name(item) in named]
        if not more:
            break
        chosen += more
    kinds = {item.kind for item in (*own, *chosen) if isinstance(item, syntax.Block)}
    return [
        item
        for item in imported.items
        if item in own or item in chosen or (_is_context(item) and _kind(item) not in kinds)
    ]


def _may_go(item: syntax.Item) -> bool:
    return isinstance(item, syntax.MaskDefinition) or _kind(item) in ("ticket", *_CONTEXT)


_CONTEXT = ("model", "data", "training")


def _is_context(item: syntax.Item) -> bool:
    return _kind(item) in _CONTEXT


def _kind(item: syntax.Item) -> str:
    return item.kind if isinstance(item, syntax.Block) else ""


def _name(item: syntax.Item) -> str:
    return item.name if isinstance(item, syntax.Block | syntax.MaskDefinition) else ""


def nodes(tree: Any) -> Iterator[Any]:
    """Every node of a syntax tree."""
    if isinstance(tree, tuple | list):
        for part in tree:
            yield from nodes(part)
    elif dataclasses.is_dataclass(tree) and type(tree).__module__ == syntax.__name__:
        yield tree
        for field in dataclasses.fields(tree):
            yield from nodes(getattr(tree, field.name))


def bring_in(recipe: syntax.Recipe, folder: Path, findings: Findings) -> Imported:
    """Read what a recipe imports, and what that imports; mistakes go to `findings`."""
    loader = _Loader(findings)
    loader.add(recipe, folder, (Path(recipe.span.source.name).resolve(),))
    own = _params(recipe)
    items = [
        item
        for item in loader.found.items
        if not (isinstance(item, syntax.Param) and own.get(item.name, item) is not item)
    ]
    return Imported(items, loader.found.folders)


def _params(recipe: syntax.Recipe) -> Mapping[str, syntax.Param]:
    return {item.name: item for item in recipe.items if isinstance(item, syntax.Param)}


class _Loader:
    def __init__(self, findings: Findings) -> None:
        self.findings, self.found = findings, Imported()
        self.seen: set[Path] = set()

    def add(self, recipe: syntax.Recipe, folder: Path, chain: tuple[Path, ...]) -> None:
        for item in recipe.items:
            if isinstance(item, syntax.Import):
                self._import(item, folder, chain)
        self.found.items += [i for i in recipe.items if not isinstance(i, syntax.Import)]

    def _import(self, item: syntax.Import, folder: Path, chain: tuple[Path, ...]) -> None:
        path = _locate(item.path.value, folder)
        key = path.resolve()
        if key in chain:
            names = " → ".join(step.name for step in (*chain[chain.index(key) :], key))
            self.findings.error(
                "cyclic-import",
                f"{path.name} imports itself: {names}",
                Label(item.path.span),
                help="take what both need into a file of its own",
            )
        elif key not in self.seen:
            self.seen.add(key)
            self._read(item, path, (*chain, key))

    def _read(self, item: syntax.Import, path: Path, chain: tuple[Path, ...]) -> None:
        try:
            source = read(path)
            recipe = parse(source)
        except InputError as error:
            if item.path.value.startswith(f"{PRESETS}/") and not path.exists():
                error = _no_preset(error, item.path.value)
            self.findings.absorb(error, item.path.span)
        except RecipeError as error:
            self.findings.diagnostics += error.diagnostics
        else:
            self.found.folders[source] = path.parent
            self.add(recipe, path.parent, chain)


def _locate(text: str, folder: Path) -> Path:
    """Beside the importing file, else among the shipped presets."""
    beside = folder / text
    if not beside.exists() and text.startswith(f"{PRESETS}/"):
        shipped = Path(str(files("lottoc"))) / text
        if shipped.exists():
            return shipped
    return beside


def _no_preset(error: InputError, path: str) -> InputError:
    """The same error, with the presets that there are."""
    shipped = Path(str(files("lottoc"))) / PRESETS
    known = [f"{PRESETS}/{file.name}" for file in shipped.glob("*.lotto")]
    help = did_you_mean(path, known)
    return InputError([dataclasses.replace(d, help=help) for d in error.diagnostics])
