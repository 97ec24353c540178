"""What an expression did: each part of it that was reached, as it is written, with its value or why it has none.

The evaluator does the work, and is watched; nothing here says what a node means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ai_gateway_mw.cel.declarations import Kinds
from ai_gateway_mw.cel.evaluator import Evaluator
from ai_gateway_mw.cel.frames import Frame
from ai_gateway_mw.cel.limits import Limits
from ai_gateway_mw.cel.nodes import Comprehension, Conditional, Index, Literal, Logic, Node, Select, children
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.scanner import tokens

_LINE_BREAK = re.compile(r"\s*\n\s*")
_LAST_LINE_BREAK = re.compile(r"\s*\n\s*\)")
_TURNS = 32  # of a macro: nobody reads more
_OPENING, _CLOSING = {"(", "[", "{"}, {")", "]", "}"}


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """A part of an expression: its text, and what it came to.

    `error` is why it has no value; a part that was not `reached` has neither. `secret` says that the value was made
    from a secret. One turn of a macro says in `variables` what the macro's variables were; `untold` counts the turns
    beyond the first ones.
    """

    source: str
    value: Any = None
    error: str = ""
    reached: bool = True
    secret: bool = False
    variables: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Explanation, ...] = ()
    untold: int = 0


Observer = Callable[[Explanation], None]


class Watching:
    """One expression that tells an observer of each of its evaluations."""

    def __init__(
        self,
        text: str,
        root: Node,
        secret: set[Node],
        observer: Observer,
        kinds: Kinds,
        limits: Limits,
        *,
        lenient: bool,
    ) -> None:
        self._root = root
        self._secret = secret
        self._sources = Sources(text)
        self._observer = observer
        self._evaluator = _WatchedEvaluator(kinds, limits, lenient=lenient)

    def __call__(self, activation: Any) -> Any:
        trace = _Trace(self._root)
        try:
            trace.value = self._evaluator.traced(trace, activation)
            return trace.value
        except EvaluationError as error:
            trace.error = trace.error or str(error)
            raise
        finally:
            self._observer(self._told(trace))

    def _told(self, trace: _Trace) -> Explanation:
        node = trace.node
        return Explanation(
            self._sources.of(node),
            trace.value,
            trace.error,
            secret=node in self._secret,
            variables=trace.variables,
            parts=tuple(self._parts(trace)),
            untold=trace.untold,
        )

    def _parts(self, trace: _Trace) -> Iterator[Explanation]:
        node = trace.node
        if (
            isinstance(node, (Select, Index))
            and not trace.error
            and not any(below.node in self._secret for below in trace.below)
        ):
            return  # a path is one thing to read, unless it breaks off
        if not isinstance(node, (Logic, Conditional)):
            yield from (self._told(below) for below in trace.below)
            return
        reached = {below.node: below for below in trace.below}
        for child in children(node):
            if child in reached:
                yield self._told(reached[child])
            elif not isinstance(child, Literal):
                yield Explanation(self._sources.of(child), reached=False)


class _Trace:
    """One evaluation of one node, while it goes on."""

    __slots__ = ("below", "error", "node", "untold", "value", "variables")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.value: Any = None
        self.error = ""
        self.variables: Mapping[str, Any] = {}
        self.below: list[_Trace] = []
        self.untold = 0


class _WatchedEvaluator(Evaluator):
    """Leaves a trace of everything that it evaluates."""

    def __init__(self, kinds: Kinds, limits: Limits, *, lenient: bool) -> None:
        super().__init__(kinds, limits, lenient=lenient)
        self._open: list[_Trace] = []

    def traced(self, root: _Trace, activation: Any) -> Any:
        """The value of a whole tree, or EvaluationError."""
        above, self._open = self._open, []
        outermost = _Trace(root.node)
        self._open.append(outermost)
        try:
            return self.run(root.node, activation)
        finally:
            self._open = above
            if outermost.below:
                first = outermost.below[0]
                root.error = first.error
                root.below, root.untold = first.below, first.untold

    def evaluate(self, node: Node, frame: Frame) -> Any:
        if isinstance(node, Literal):
            return super().evaluate(node, frame)
        trace = self._begun(node, frame)
        self._open.append(trace)
        try:
            trace.value = super().evaluate(node, frame)
            return trace.value
        except EvaluationError as error:
            trace.error = str(error)
            raise
        finally:
            self._open.pop()

    def _begun(self, node: Node, frame: Frame) -> _Trace:
        above, trace = self._open[-1], _Trace(node)
        turns = above.node if isinstance(above.node, Comprehension) and node is not above.node.range else None
        if turns is not None:
            trace.variables = {
                name.rpartition("_")[0]: frame.locals[name] for name in turns.variables if name in frame.locals
            }
        if turns is not None and len(above.below) > _TURNS:
            above.untold += 1
        else:
            above.below.append(trace)
        return trace


class Sources:
    """The texts of the nodes of one expression: a node itself knows only its word or operator."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._at = {token.offset: place for place, token in enumerate(self._tokens)}
        self._partner = dict(_pairs([token.text for token in self._tokens]))

    def of(self, node: Node) -> str:
        """The node as it is written, on one line."""
        first, last = self._balanced(*self._span(node))
        start, end = self._tokens[first].offset, self._tokens[last]
        text = self._text[start : end.offset + len(end.text)]
        return _LINE_BREAK.sub(" ", _LAST_LINE_BREAK.sub(")", text))

    def _span(self, node: Node) -> tuple[int, int]:
        """The first and the last token of a node, brackets at its ends left out."""
        own = self._place(node.offset)
        spans = [(own, max(own, self._ending(node.offset + node.length)))]
        spans += [self._balanced(*self._span(child)) for child in children(node)]
        first, last = min(span[0] for span in spans), max(span[1] for span in spans)
        if self._kind(own) == "name" and self._kind(own + 1) == "(" and last == own:
            last = own + 1
        if first == own and self._kind(own) == "name":
            while self._kind(first - 1) == "." and self._kind(first - 2) == "name":
                first -= 2
        return first, last

    def _balanced(self, first: int, last: int) -> tuple[int, int]:
        """The span with every bracket in it closed, and opened."""
        place = first
        while place <= last:
            partner = self._partner.get(place, place)
            if partner < first:
                first = place = partner
                continue
            last = max(last, partner)
            place += 1
        return first, last

    def _place(self, offset: int) -> int:
        """The token that stands at an offset, or holds it."""
        found = self._at.get(offset)
        if found is not None:
            return found
        return max((place for at, place in self._at.items() if at <= offset), default=0)

    def _ending(self, offset: int) -> int:
        """The last token before an offset."""
        return max((place for at, place in self._at.items() if at < offset), default=0)

    def _kind(self, place: int) -> str:
        return self._tokens[place].kind if 0 <= place < len(self._tokens) else ""


def _pairs(texts: list[str]) -> Iterator[tuple[int, int]]:
    """Each bracket with the one that belongs to it, both ways."""
    waiting: list[int] = []
    for place, text in enumerate(texts):
        if text in _OPENING:
            waiting.append(place)
        elif text in _CLOSING and waiting:
            opened = waiting.pop()
            yield opened, place
            yield place, opened
