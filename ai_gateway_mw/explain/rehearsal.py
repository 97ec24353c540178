"""Rehearsal: the gateway of a policy as `run` has it, in front of doubles, and observed."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from ai_gateway_mw.actions.gateway_auth import GatewayAuth
from ai_gateway_mw.addresses import parse_address
from ai_gateway_mw.asgi import ASGIApp, Message
from ai_gateway_mw.cel import EvaluationError
from ai_gateway_mw.errors import GatewayError
from ai_gateway_mw.explain.asked import Asked, NoSuchKey
from ai_gateway_mw.explain.course import Course
from ai_gateway_mw.explain.doubles import Chance, Placeholders, PretendedAccounts, Providers, canned_answer
from ai_gateway_mw.explain.masks import Masks, WatchedStore
from ai_gateway_mw.explain.observing import Observation, Observer
from ai_gateway_mw.explain.telling import MOST_SHOWN, tell_choices
from ai_gateway_mw.policy import Policy
from ai_gateway_mw.secrets import DEFAULT_VAULT, build_store
from ai_gateway_mw.settings import Settings

if TYPE_CHECKING:
    from ai_gateway_mw.explain.live import Live
    from ai_gateway_mw.middleware import Gateway


_FORWARDED: Final = frozenset({"x-forwarded-for", "forwarded"})
_NEED_ISSUERS: Final = frozenset({"token_keys_unavailable", "login_unavailable"})


class Rehearsal:
    """One policy, ready to be asked. What it learns from answers it keeps from one request to the next, as a gateway
    does. `app` is what is asked: the gateway on its own, where nobody puts it around another app. Raises `PolicyError`
    when made."""

    def __init__(
        self,
        policy: Policy,
        settings: Settings,
        make: Callable[..., Gateway],
        *,
        providers: Providers | None = None,
        given: Mapping[str, Mapping[str, str]] | None = None,
        own_secrets: bool = True,
        live: Live | None = None,
    ) -> None:
        """`make` is what makes gateways. `given` are secrets by vault and name. Without `own_secrets`, those of this
        installation are left alone. With `live` it goes on from what a running gateway knows, and a secret that is
        missing is missing."""
        self.providers = providers or Providers()
        self._placeholders = Placeholders(given)
        self._live = live
        if live is not None:
            self._store = WatchedStore(live.sources)
        else:
            own = build_store(settings).sources if own_secrets else ()
            self._store = WatchedStore([*own, self._placeholders])
        self._masks = Masks(self._store)
        for text, name in live.hidden if live is not None else ():
            self._masks.hide(text, name)
        self._make = make
        self._observer = Observer()
        self._declared: dict[str, str] = {}
        self._has_learned = live is not None
        self._directory = tempfile.TemporaryDirectory(prefix="ai-gateway-")  # counters are files
        try:
            self._open(policy, settings)
        except BaseException:
            self._directory.cleanup()
            raise

    def _open(self, policy: Policy, settings: Settings) -> None:
        apart = {"data_dir": Path(self._directory.name), "audit_requests": "off", "admin_token": None}
        internal = self._live.internal if self._live is not None else {}
        self.gateway = self._make(
            policy,
            settings=settings.model_copy(update=apart),
            secrets=self._store,
            transport=self.providers,
            internal=internal,
        )
        stores = self.gateway.stores
        self._accounts: PretendedAccounts
        if self._live is not None:
            self._accounts = self._live.put_into(stores)
        else:
            stores.accounts = self._accounts = PretendedAccounts(stores.settings, lambda: stores.counters)
        stores.random = self._chance = Chance(1)
        stores.observe(self._observer.told)
        self.providers.sending = self._observer.sending
        self.gateway.reload(policy)  # once more: with an observer, and without a database
        self._find_gateway_keys()
        self.gateway.program = self._observer.watched(self.gateway.program)
        self.gateway.limits = replace(self.gateway.limits, quiet=True)
        self.gateway.is_open = True
        self.app: ASGIApp = self.gateway.app

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self.gateway.stores.aclose()
        self._directory.cleanup()

    async def ask(self, asked: Asked, key: str | None = None, *, patience: float | None = None) -> Course:
        """What becomes of a request, from a client that has the gateway key of this name. What takes longer than
        `patience`, such as a wait for capacity, is given up. Raises `NoRequest`, and `NoSuchKey`."""
        if key is not None:
            token = self._declared.get(key) or self._accounts.pretend(key)
            if token is None:
                raise NoSuchKey(key)
            asked = asked.with_credential(token)
        scope = asked.scope()
        for name, value in asked.credentials:
            self._masks.hide(value, f"client/{name}")
        course = Course(self._request(asked))
        seen = Observation(course, self._masks, self.gateway.policy, self.gateway.program)
        client = _Client(asked.body)
        self._observer.now = seen
        try:
            async with asyncio.timeout(patience):
                await self.app(scope, client.receive, client.send)
        except TimeoutError:
            course.notes.append("this takes its time, and was given up: there is no answer here")
        except GatewayError as error:  # past the head there is nobody to tell but the server
            course.notes.append(f"the answer broke off: {error.code}")
        course.request = self._request(asked)  # once more: what it holds may be known as a secret by now
        tell_choices(seen)
        self._tell_answer(course, client)
        self._tell_notes(course, key)
        self._tell_circumstances(seen)
        return course

    def masked(self, told: Any, redact: Callable[[str], str]) -> Any:
        """The same with everything hidden that is known by now, also where it was told before it was known, or that
        `redact` knows."""
        if isinstance(told, dict):
            return {self.masked(name, redact): self.masked(value, redact) for name, value in told.items()}
        if isinstance(told, list | tuple):
            return [self.masked(item, redact) for item in told]
        if told is None or isinstance(told, bool):
            return told
        shown = redact(self._masks.text(str(told)))
        return told if shown == str(told) else shown

    @property
    def names_of_turn(self) -> Sequence[str]:
        """Whose turn it is: the key, the candidate, the provider; or the action that calls somebody else."""
        attempt, type_, _ = self._observer.now.requests[-1] if self._observer.now is not None else (None, "", None)
        if attempt is None:
            return (type_,)
        candidate = attempt.candidate
        key = (self._masks.name_of(candidate.key),) if candidate.key is not None else ()
        return (*key, candidate.name, candidate.provider.id)

    def _request(self, asked: Asked) -> dict[str, Any]:
        bounded = self._masks.bounded
        return {
            "method": asked.method,
            "path": bounded(asked.target),
            "fields": [(name, bounded(value)) for name, value in asked.fields],
            "body": bounded(asked.body.decode("utf-8", "replace"), MOST_SHOWN),
            "ip": asked.ip,
        }

    def _tell_answer(self, course: Course, client: _Client) -> None:
        course.status = client.status
        course.fields = [(n.decode("latin-1"), self._masks.bounded(v.decode("latin-1"))) for n, v in client.fields]
        course.answer = self._masks.text(client.body.decode("utf-8", "replace"))
        course.body = self._masks.bounded(course.answer, MOST_SHOWN)
        code = dict(course.fields).get("x-gateway-error")
        if code and course.refused is None:  # by no action: the request itself, or an expression that failed
            course.refused = {"code": code, "message": _message(course.answer)}

    def _tell_notes(self, course: Course, key: str | None) -> None:
        if self._accounts.looked_up:
            self._accounts.looked_up = False
            told = f"`{key}` is pretended" if key else "`--key NAME` pretends one"
            course.notes.append(f"gateway-auth: a key would be looked up in the database here; {told}")
        if self._placeholders.asked:
            course.notes.append(f"placeholders stand for secrets: {', '.join(sorted(self._placeholders.asked))}")

    def _tell_circumstances(self, seen: Observation) -> None:
        """What is otherwise here than it would be where it counts."""
        notes, address, refused = seen.course.notes, seen.course.request["ip"], seen.course.refused or {}
        if self._chance.taken:
            self._chance.taken = False
            notes.append("chance is fixed here (rand, random, randomize): a gateway draws anew for each request")
        if seen.has_strategies_for_keys and not self._has_learned:
            notes.append(
                "nothing is known of provider keys here: until they have answered, quotas are null and rates 0"
            )
        self._has_learned = self._has_learned or bool(seen.course.sent)
        if refused.get("code") in _NEED_ISSUERS and self.providers.answer is canned_answer:
            notes.append("no issuer is asked here, and a canned answer has none of its keys: an exchange can give them")
        if refused.get("code") == "not_found" and not any(rule.times for rule in seen.course.rules):
            notes.append(
                'only AI paths are under the policy here; `intercept="all"` around an app puts all of them there'
            )
        trusted = self.gateway.limits.trusted_proxies
        if trusted is None or parse_address(address) not in trusted:
            for name in sorted(_FORWARDED.intersection(name.lower() for name, _ in seen.course.request["fields"])):
                notes.append(f"{name} does not count: {address} is none of TRUSTED_PROXIES")

    def _find_gateway_keys(self) -> None:
        """The keys that the policy declares, by their names; their placeholders must be gateway keys, too."""
        actions: list[Any] = [
            action for rules in self.gateway.program.rules.values() for rule in rules for action in rule.actions
        ]
        declared = [pair for action in actions if isinstance(action, GatewayAuth) for pair in action.declared]
        for _, template in declared:
            for names in template.secrets:
                vault, name = names if len(names) == 2 else (DEFAULT_VAULT, *names)
                self._placeholders.gateway_keys.add((vault, name))
        for key, template in declared:
            with suppress(EvaluationError):
                self._declared[key.name] = template.render(None)


class _Client:
    """Sends its body at once, stays, and keeps what it gets."""

    def __init__(self, body: bytes) -> None:
        self._messages = [{"type": "http.request", "body": body, "more_body": False}]
        self.status = 0
        self.fields: Sequence[tuple[bytes, bytes]] = ()
        self.body = b""

    async def receive(self) -> Message:
        if not self._messages:
            await asyncio.Event().wait()
        return self._messages.pop()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.fields = message["status"], message["headers"]
        else:
            self.body += message.get("body", b"")


def _message(body: str) -> str:
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(body)["error"]["message"])
    return ""
