"""YAML or JSON text -> nodes. Works on PyYAML's events, so that limits are met before anything is built."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from ai_gateway_mw.errors import PolicyError
from ai_gateway_mw.policy.document import Node
from ai_gateway_mw.policy.legacy import SEVERAL_DOCUMENTS
from ai_gateway_mw.policy.problems import Problems
from ai_gateway_mw.policy.scalars import plain_scalar
from ai_gateway_mw.policy.syntax import syntax_problem, tag_problem
from ai_gateway_mw.policy.text import Source, Span, Text

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 64
MAX_NODES = 50_000
MAX_ALIASED_NODES = 10_000

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BLANKS = re.compile(r"[ \t]*")
_JSON_ESCAPE = re.compile(r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|.)")


def parse(source: Source, problems: Problems) -> Node | None:
    """The one document in `source`, or None if there is none; stops at what is not YAML."""
    source = _readable(source, problems)
    try:
        return _Composer(source, problems).document()
    except yaml.MarkedYAMLError as error:
        message, offset = syntax_problem(error, source.text)
        raise problems.fatal(message, source.place(offset)) from None


def parse_all(source: Source, problems: Problems) -> list[Node]:
    """Every document in `source`, which `---` separates."""
    source = _readable(source, problems)
    try:
        return list(_Composer(source, problems).documents())
    except yaml.MarkedYAMLError as error:
        message, offset = syntax_problem(error, source.text)
        raise problems.fatal(message, source.place(offset)) from None


def _readable(source: Source, problems: Problems) -> Source:
    if found := _UNREADABLE.search(source.text):
        message = f"the character U+{ord(found.group()):04X} is not allowed in YAML"
        raise problems.fatal(message, source.place(found.start()))
    return Source(source.name, _with_joined_surrogates(source.text), source.origin)


def _with_joined_surrogates(text: str) -> str:
    r"""JSON writes U+1F600 as `\ud83d\ude00`, which YAML refuses: it knows only `\U0001f600`."""
    if not text.lstrip().startswith(("{", "[")) or not re.search(r"\\u[dD][89abAB]", text):
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return _JSON_ESCAPE.sub(_joined_surrogates, text)


def _joined_surrogates(found: re.Match[str]) -> str:
    high, low = found.groups()
    if high is None:
        return found.group()
    return f"\\U{0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00:08x}"


class _Composer:
    """Builds nodes from the events of one source."""

    def __init__(self, source: Source, problems: Problems) -> None:
        self._source = source
        self._problems = problems
        self._events = yaml.parse(source.text, Loader=_LOADER)
        self._anchors: dict[str, Node | None] = {}  # None: the node is still open
        self._nodes = 0
        self._aliased = 0

    def document(self) -> Node | None:
        root = None
        for event in self._events:
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            if root is not None:
                raise self._fatal(SEVERAL_DOCUMENTS, event)
            root = self._node(next(self._events), 0)
        return root

    def documents(self) -> Iterator[Node]:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors.clear()
                yield self._node(next(self._events), 0)

    def _node(self, event: Any, depth: int) -> Node:
        self._check_limits(event, depth)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if event.tag is not None:
            self._problems.error(tag_problem(self._span(event).spelling), self._span(event).place)
        if event.anchor is None:
            return self._content(event, depth)
        self._anchors[event.anchor] = None
        node = self._content(event, depth)
        self._anchors[event.anchor] = node
        return node

    def _content(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(event, depth + 1)
        return self._mapping(event, depth + 1)

    def _scalar(self, event: Any) -> Node:
        span = self._span(event)
        if event.style:
            return Node(Text(event.value, span), span)
        if event.tag is not None:
            return Node(Text(span.spelling, span), span)
        try:
            value = plain_scalar(event.value)
        except ValueError as error:
            self._problems.error(str(error), span.place)
            value = event.value
        return Node(Text(value, span) if isinstance(value, str) else value, span)

    def _list(self, start: Any, depth: int) -> Node:
        items = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth))
        size = 1 + sum(item.size for item in items)
        return Node([item.value for item in items], self._span(start), dict(enumerate(items)), size=size)

    def _mapping(self, start: Any, depth: int) -> Node:
        keys: dict[str | int, Span] = {}
        children: dict[str | int, Node] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth)
            value = self._node(next(self._events), depth)
            if self._is_good_key(key, event, keys):
                keys[str(key.text)], children[str(key.text)] = key.span, value
        size = 1 + sum(1 + value.size for value in children.values())
        return Node({key: value.value for key, value in children.items()}, self._span(start), children, keys, size)

    def _is_good_key(self, key: Node, event: Any, earlier: dict[str | int, Span]) -> bool:
        if isinstance(key.value, dict | list):
            message = "a key must be text; a value with `{` or `[` at its start needs quotes"
        elif key.text == "<<" and isinstance(event, yaml.ScalarEvent) and not event.style:
            message = "merge keys (`<<`) are not supported; write the fields out, or use an alias for the whole value"
        elif not key.text:
            message = "a key may not be empty"
        elif key.text in earlier:
            first = earlier[key.text].place
            message = f"`{key.text}` is given twice; the first one is at line {first.line}, column {first.column}"
        else:
            return True
        self._problems.error(message, self._span(event).place)
        return False

    def _alias(self, event: Any) -> Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            wrong = "stands inside what it repeats" if event.anchor in self._anchors else "has no anchor above it"
            raise self._fatal(f"the alias `*{event.anchor}` {wrong}; a value that starts with `*` needs quotes", event)
        self._aliased += node.size
        if self._aliased > MAX_ALIASED_NODES:
            raise self._fatal(f"aliases may not expand to more than {MAX_ALIASED_NODES:,} values", event)
        return node

    def _check_limits(self, event: Any, depth: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._fatal(f"a policy may not have more than {MAX_NODES:,} values", event)
        if depth >= MAX_DEPTH and isinstance(event, yaml.CollectionStartEvent):
            raise self._fatal(f"a policy may not be nested more than {MAX_DEPTH} levels deep", event)

    def _fatal(self, message: str, event: Any) -> PolicyError:
        return self._problems.fatal(message, self._span(event).place)

    def _span(self, event: Any) -> Span:
        start, end = event.start_mark.index, event.end_mark.index
        if getattr(event, "anchor", None) and not isinstance(event, yaml.AliasEvent):
            start = self._after_anchor(start, event.anchor)
        return Span(self._source, start, end, getattr(event, "style", None) or "")

    def _after_anchor(self, start: int, anchor: str) -> int:
        if not self._source.text.startswith(f"&{anchor}", start):
            return start
        found = _BLANKS.match(self._source.text, start + 1 + len(anchor))
        return found.end() if found else start
