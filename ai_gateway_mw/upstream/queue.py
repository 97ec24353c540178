"""The order in which candidates get their turn, as what was learned on the way changes it."""

from __future__ import annotations

from collections.abc import Iterator

from ai_gateway_mw.upstream.candidate import Attempt, Candidate
from ai_gateway_mw.upstream.outcome import Next


class CandidateQueue:
    """Candidates in their order, drawn one by one; those with a poor prospect stand back until the others have had
    their turn."""

    __slots__ = ("_ahead", "_behind", "_candidates", "_closed", "_failing", "_had", "_key_went_to")

    def __init__(self, candidates: Iterator[Candidate]) -> None:
        self._candidates = candidates
        self._ahead: list[Candidate] = []
        self._behind: list[Candidate] | None = []  # None once it is their turn
        self._failing: set[str] = set()
        self._closed: set[str] = set()
        self._key_went_to: str | None = None  # the provider that the client's own key was shown to
        self._had: list[Candidate] = []

    def next(self) -> Candidate | None:
        """Whose turn it is, None when nobody is left: nobody twice, and nobody whose door is known to be closed."""
        while (due := self._ahead.pop() if self._ahead else self._drawn()) is not None:
            if not self._had or (self._may_be_asked(due) and not self._had_one_like(due)):
                self._had.append(due)
                return due
        return None

    def _drawn(self) -> Candidate | None:
        behind = self._behind
        for candidate in self._candidates:
            if behind is not None and self._stands_back(candidate):
                behind.append(candidate)
            else:
                return candidate
        if not behind:
            return None
        self._candidates, self._behind = iter(behind), None
        return self._drawn()

    def _stands_back(self, candidate: Candidate) -> bool:
        return (candidate.key is not None and candidate.key.cooling) or candidate.provider.id in self._failing

    def _may_be_asked(self, candidate: Candidate) -> bool:
        """A client's own key goes to one provider only."""
        if candidate.credential is not None and self._key_went_to not in (None, candidate.provider.id):
            return False
        return candidate.surface.base_url not in self._closed

    def _had_one_like(self, candidate: Candidate) -> bool:
        """Whether somebody like this had a turn: two providers may share an address, or a strategy name a key twice."""
        like = _likeness(candidate)
        return any(_likeness(had) == like for had in self._had)

    def first(self, candidate: Candidate) -> None:
        """Let this one have the next turn."""
        self._ahead.append(candidate)

    def after(self, attempt: Attempt) -> None:
        """Learn from a failed attempt."""
        if attempt.candidate.credential is not None:
            self._key_went_to = attempt.candidate.provider.id
        if attempt.outcome.then is Next.OTHER_PROVIDER:
            self._failing.add(attempt.candidate.provider.id)
        elif attempt.outcome.then is Next.OTHER_HOST:
            self._closed.add(attempt.candidate.surface.base_url)


def _likeness(candidate: Candidate) -> tuple[str, str | None, str | None]:
    model, key = candidate.model, candidate.key
    return candidate.surface.base_url, model.id if model else None, key.id if key else None
