"""The order in which candidates get their turn, as what was learned on the way changes it."""

from __future__ import annotations

from collections.abc import Iterator

from ai_gateway_mw.upstream.candidate import Attempt, Candidate
from ai_gateway_mw.upstream.outcome import Next


class CandidateQueue:
    """Candidates in their order; those with a poor prospect stand back until the others have had their turn."""

    def __init__(self, candidates: Iterator[Candidate]) -> None:
        self._candidates = candidates
        self._ahead: list[Candidate] = []
        self._behind: list[Candidate] = []
        self._failing: set[str] = set()
        self._closed: set[str] = set()
        self._key_went_to: str | None = None  # the provider that the client's own key was shown to
        self._had: set[tuple[str, str | None, str | None]] = set()

    def __iter__(self) -> Iterator[Candidate]:
        for candidate in self._candidates:
            if candidate.provider.id in self._failing or (candidate.key is not None and candidate.key.cooling):
                self._behind.append(candidate)
            else:
                yield from self._turns(candidate)
        for candidate in self._behind:
            yield from self._turns(candidate)

    def _turns(self, candidate: Candidate) -> Iterator[Candidate]:
        """This one, then whoever is given the next turn meanwhile; nobody whose door is known to be closed."""
        self._ahead.append(candidate)
        while self._ahead:
            due = self._ahead.pop()
            if due.surface.base_url not in self._closed and not self._shows_key_again(due) and self._is_new(due):
                yield due

    def _shows_key_again(self, candidate: Candidate) -> bool:
        """A client's own key goes to one provider only."""
        return candidate.credential is not None and self._key_went_to not in (None, candidate.provider.id)

    def _is_new(self, candidate: Candidate) -> bool:
        """Whether nobody like this had a turn: two providers may share an address, or a strategy name a key twice."""
        model, key = candidate.model, candidate.key
        like = candidate.surface.base_url, model.id if model else None, key.id if key else None
        known = like in self._had
        self._had.add(like)
        return not known

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
