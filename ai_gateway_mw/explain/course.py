"""Course: what became of one request, as it was observed; everything in it is masked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class ActionTaken:
    """An action that ran. `outcome` is went on, answered, or refused with this error; would have refused, where it has
    `enforce: false`."""

    type: str
    place: str
    outcome: str = ""
    error: dict[str, str] | None = None
    vars: dict[str, Any] = field(default_factory=dict)
    result: Any = None
    expressions: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class RuleTaken:
    """A rule: matched, not matched, failed, or not reached."""

    phase: str
    name: str
    place: str
    verdict: str = "not reached"
    times: int = 0
    why: list[dict[str, Any]] = field(default_factory=list)
    actions: list[ActionTaken] = field(default_factory=list)


@dataclass(slots=True)
class Considered:
    """A model, a key or both, with its place in the order in which it would be tried (from 1), or why it is not."""

    name: str
    order: int | None
    reason: str


@dataclass(slots=True)
class Sent:
    """A request as a provider would have got it, and what came of it."""

    candidate: str
    key: str
    method: str
    url: str
    fields: list[tuple[str, str]]
    body: str
    outcome: str
    status: int
    content: str = field(default="", repr=False)  # the whole body


@dataclass(slots=True)
class Course:
    """All of it."""

    request: dict[str, Any]
    rules: list[RuleTaken] = field(default_factory=list)
    vars: dict[str, Any] = field(default_factory=dict)
    models: list[Considered] = field(default_factory=list)
    keys: list[Considered] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    then: list[Considered] = field(default_factory=list)  # whose turn would come, had those before them failed
    called: list[Sent] = field(default_factory=list)  # for actions other than `ai-gateway`
    status: int = 0
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: str = ""
    refused: dict[str, str] | None = None
    notes: list[str] = field(default_factory=list)
    answer: str = field(default="", repr=False)  # the whole body

    @property
    def matched(self) -> Sequence[RuleTaken]:
        return [rule for rule in self.rules if rule.verdict == "matched"]

    @property
    def tried(self) -> list[str]:
        """Candidates in the order of their turns, each with its key."""
        return [f"{one.candidate} with {one.key}" if one.key else one.candidate for one in self.sent]

    def as_json(self) -> dict[str, Any]:
        """Without the whole bodies: what is shown of them is enough."""
        told = asdict(self)
        del told["answer"]
        for sent in (*told["sent"], *told["called"]):
            del sent["content"]
        return told
