"""The order in which candidates get their turn, as what was learned on the way changes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Self

from ai_gateway_mw.upstream.candidate import Attempt, Candidate
from ai_gateway_mw.upstream.outcome import Next

_NOTHING: frozenset[str] = frozenset()


class CandidateQueue:
    """Candidates in their order, drawn one by one; those with a poor prospect stand back until the others have had
    their turn. `allows` says whether a candidate's origin may be asked; `last` where nobody else is left.

    Where all of them wait for a rate limit from the start, none gets a turn: a key that told us to wait is asked before
    its time only after others have failed.
    """

    __slots__ = ("_ahead", "_allows", "_behind", "_candidates", "_closed", "_failing", "_had", "_key_went_to", "_seen")

    def __init__(self, candidates: Iterator[Candidate], allows: Callable[[Candidate, bool], bool]) -> None:
        self._candidates = candidates
        self._allows = allows
        self._ahead: list[Candidate] = []
        self._behind: list[Candidate] | None = []  # None once it is their turn
        self._failing = self._closed = _NOTHING
        self._key_went_to: str | None = None  # the provider that the client's own key was shown to
        self._had: list[Candidate] = []
        self._seen: list[Candidate] = []

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Candidate:
        due = self.next()
        if due is None:
            raise StopIteration
        return due

    def next(self) -> Candidate | None:
        """Whose turn it is, None when nobody is left: nobody twice, and nobody whose door is known to be closed."""
        while (due := self._ahead.pop() if self._ahead else self._drawn()) is not None:
            if self._had and (not self._may_be_asked(due) or self._had_one_like(due)):
                continue
            if self._allows(due, self._behind is None):
                self._had.append(due)
                return due
            if self._behind is not None:
                self._behind.append(due)
        return None

    def _drawn(self) -> Candidate | None:
        behind = self._behind
        for candidate in self._candidates:
            if behind is None:
                return candidate
            self._seen.append(candidate)
            if not self._stands_back(candidate):
                return candidate
            behind.append(candidate)
        if not behind or (not self._had and self.cooling):
            return None
        self._candidates, self._behind = iter(sorted(behind, key=self._fails)), None
        return self._drawn()

    def _stands_back(self, candidate: Candidate) -> bool:
        key = candidate.key
        if key is not None and (key.live.cooling_until or key.live.unfit_until):  # few have anything against them
            model = candidate.model
            if key.cooling or (model is not None and key.live.unfit_for(model.id)):
                return True
        return self._fails(candidate)

    def _fails(self, candidate: Candidate) -> bool:
        """Whether its provider has failed, so that others come first."""
        return candidate.provider.id in self._failing

    def _may_be_asked(self, candidate: Candidate) -> bool:
        """A client's own key goes to one provider only."""
        if candidate.credential is not None and self._key_went_to not in (None, candidate.provider.id):
            return False
        return candidate.surface.base_url not in self._closed

    def _had_one_like(self, candidate: Candidate) -> bool:
        """Whether somebody like this had a turn: two providers may share an address, or a strategy name a key twice."""
        like = _likeness(candidate)
        return any(_likeness(had) == like for had in self._had)

    @property
    def cooling(self) -> list[float]:
        """The seconds for which each candidate waits for a rate limit; empty unless all of them do."""
        keys = [candidate.key for candidate in self._seen if candidate.key is not None]
        waits = [key.live.cooling_left for key in keys if key.state == "cooling"]
        return waits if len(waits) == len(self._seen) else []

    @property
    def unasked(self) -> list[float]:
        """The same seconds, of those that were not asked."""
        keys = [candidate.key for candidate in self.passed_over]
        return [key.live.cooling_left for key in keys if key is not None and key.state == "cooling"]

    @property
    def passed_over(self) -> list[Candidate]:
        """Those that were drawn and had no turn."""
        return [candidate for candidate in self._seen if candidate not in self._had]

    def again(self) -> CandidateQueue:
        """All that were drawn once more, from the beginning."""
        return CandidateQueue(iter(self._seen), self._allows)

    def first(self, candidate: Candidate) -> None:
        """Let this one have the next turn."""
        self._ahead.append(candidate)

    def after(self, attempt: Attempt) -> None:
        """Learn from a failed attempt."""
        if attempt.candidate.credential is not None:
            self._key_went_to = attempt.candidate.provider.id
        if attempt.outcome.then is Next.OTHER_PROVIDER:
            self._failing |= {attempt.candidate.provider.id}
            if self._behind is None:
                self._candidates = iter(sorted(self._candidates, key=self._fails))
        elif attempt.outcome.then is Next.OTHER_HOST:
            self._closed |= {attempt.candidate.surface.base_url}


def _likeness(candidate: Candidate) -> tuple[str, str | None, str | None]:
    model, key = candidate.model, candidate.key
    return candidate.surface.base_url, model.id if model else None, key.id if key else None
