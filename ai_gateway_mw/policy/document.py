"""A parsed document: plain values for those who read them, and the place of every key and value on the side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ai_gateway_mw.errors import Place
from ai_gateway_mw.policy.text import Span, Text

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A value with its place. `value` is plain (dict, list, Text, bool, int, float, None); `children` mirrors it."""

    value: Any
    span: Span
    children: Mapping[str | int, Node] = field(default_factory=dict)
    keys: Mapping[str | int, Span] = field(default_factory=dict)
    size: int = 1

    @property
    def place(self) -> Place:
        return self.span.place

    def key_place(self, key: str | int) -> Place:
        """Where a key stands, or an item of a list."""
        return self.keys[key].place if key in self.keys else self.children[key].place

    @property
    def items(self) -> Iterator[Node]:
        """The items of a list."""
        return iter(self.children.values())

    @property
    def text(self) -> Text:
        """A scalar as text; what is no text is taken as it is spelled."""
        return self.value if isinstance(self.value, Text) else Text(self.span.spelling, self.span)

    def at(self, path: Path) -> tuple[Node, Path]:
        """The deepest node on `path`, and the rest of the path, which is not there."""
        node = self
        for depth, step in enumerate(path):
            if step not in node.children:
                return node, path[depth:]
            node = node.children[step]
        return node, ()


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A policy as it is written. Paths start at the policy, wherever in its file that stands."""

    name: str
    root: Node

    @property
    def data(self) -> Any:
        return self.root.value

    @property
    def file_text(self) -> str:
        """The whole text of the file that this was read from."""
        source = self.root.span.source
        while source.origin is not None and source.origin.span is not None:
            source = source.origin.span.source
        return source.text

    def has(self, path: Path) -> bool:
        return not self.root.at(path)[1]

    def place(self, path: Path = (), *, key: bool = False) -> Place:
        """Where the value at `path` stands, or its key; of a path that leads too far, where it ends."""
        node, missing = self.root.at(path)
        if key and path and not missing:
            return self.root.at(path[:-1])[0].key_place(path[-1])
        return node.place

    def text(self, path: Path) -> Text | None:
        """The scalar at `path` as it is spelled, or None where there is none."""
        node, missing = self.root.at(path)
        return None if missing or node.children else node.text
