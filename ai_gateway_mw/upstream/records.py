"""What attempts leave behind: in the records of the key, the model and the origin that they were made with."""

from __future__ import annotations

import time

from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import ClientGone
from ai_gateway_mw.providers import Model
from ai_gateway_mw.state import Breakers, Measured, ModelMetrics, Result
from ai_gateway_mw.upstream.candidate import Attempt
from ai_gateway_mw.upstream.key_ring import ProviderKey
from ai_gateway_mw.upstream.lessons import learn_of_origin, learn_of_pair
from ai_gateway_mw.upstream.outcome import ACCEPTED, IT_WORKS, Fault, Outcome

# What says something of the key and nothing of the provider.
OF_THE_KEY = frozenset(outcome for outcome in Outcome if outcome.fault is Fault.KEY)
_TELLING_OF_QUOTA = (ACCEPTED, Outcome.RATE_LIMITED)


def outcome_of_giving_up(ctx: Context) -> Outcome:
    """What it means that our own task is cancelled: its client has left, or its server has no more time for it."""
    reason = ctx.watch.reason if ctx.watch is not None else None
    return Outcome.CLIENT_GONE if reason is None or isinstance(reason, ClientGone) else Outcome.SHUT_DOWN


class Records:
    """Every attempt that `began` is told once more: that it was `unmade`, or that it has `ended`."""

    def __init__(self, breakers: Breakers, metrics: ModelMetrics) -> None:
        self._breakers = breakers
        self._metrics = metrics
        self.allows = breakers.allows  # what is allowed has to begin
        self.shut = breakers.shut  # the very set: it changes with them

    def began(self, attempt: Attempt) -> None:
        key = attempt.candidate.key
        if key is not None:
            key.live.in_flight += 1

    def unmade(self, attempt: Attempt) -> None:
        """Nothing was sent."""
        if attempt.candidate.key is not None:
            attempt.candidate.key.live.in_flight -= 1
        self._breakers.release(attempt.origin, started=attempt.started)

    def judged(self, attempt: Attempt) -> None:
        """Learn from an outcome; what was not judged before is when it has `ended`. An answer that is accepted has one
        when its content begins; it may yet get another."""
        before, attempt.judged = attempt.judged, attempt.outcome
        outcome = attempt.outcome
        key, lesson = attempt.candidate.key, outcome.lesson
        if lesson is IT_WORKS and before is None:  # as nearly always: what `_learn` comes to, without the way there
            self._breakers.record(attempt.origin, True, started=attempt.started)
        else:
            self._learn(attempt, outcome, before)
        if key is not None and outcome in _TELLING_OF_QUOTA:
            key.live.quota.learn(attempt.fields)

    def _learn(self, attempt: Attempt, outcome: Outcome, before: Outcome | None) -> None:
        learn_of_origin(
            self._breakers,
            attempt.origin,
            outcome,
            retry_after=attempt.retry_after,
            started=attempt.started,
            worked=before is not None and before.lesson.works is True,
        )
        key, model = attempt.candidate.key, attempt.candidate.model
        if key is not None and model is not None:
            learn_of_pair(key.live, model.id, outcome)

    def ended(self, attempt: Attempt) -> None:
        """Count an attempt of which nothing more will come, by what it has come to."""
        started, outcome, candidate = attempt.started, attempt.outcome, attempt.candidate
        attempt.total_ms = int((time.monotonic() - started) * 1000)
        if outcome is not attempt.judged:
            self.judged(attempt)
        key, model, result = candidate.key, candidate.model, outcome.result
        if key is not None:
            live = key.live
            live.in_flight -= 1
            if result is not None:
                # A success that was under way when a limit was met does not lift the limit: hence `started`.
                live.record(result, retry_after=attempt.retry_after, started=started)
        # Names that clients make up would push out those of models that strategies ask about; and what is wrong with a
        # client's own key is no measure of the model.
        if model is None or not model.known or (candidate.credential is not None and outcome in OF_THE_KEY):
            return
        if result is not None or attempt.usage is not None:
            self._measure(attempt, model, key, result)

    def _measure(self, attempt: Attempt, model: Model, key: ProviderKey | None, result: Result | None) -> None:
        usage, total_ms = attempt.usage, attempt.total_ms
        # How long somebody stayed who left is no measure.
        measured = Measured(result, attempt.gateway_ms, total_ms) if result is not None else Measured(None)
        if usage is not None:
            measured.provider_input, measured.provider_output = usage.input_tokens or 0, usage.output_tokens or 0
        if result is not None and attempt.first_token_ms is not None:
            _note_tokens(measured, attempt.first_token_ms, total_ms)
        if key is None:
            self._metrics.record(model.provider.id, model.id, measured)
        else:
            key.latency.record(measured)
            self._metrics.record(model.provider.id, model.id, measured, key.id, key.quota)


def _note_tokens(measured: Measured, first_token_ms: int, total_ms: int) -> None:
    measured.time_to_first_token_ms = first_token_ms
    if measured.provider_output > 1:
        measured.time_per_output_token_ms = (total_ms - first_token_ms) / (measured.provider_output - 1)
