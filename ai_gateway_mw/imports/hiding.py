"""Secrets of an imported file -> `secrets.get(...)`: their values never reach what is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from ai_gateway_mw.errors import Place
from ai_gateway_mw.imports.result import Imported, NeededSecret
from ai_gateway_mw.secrets import secret_variable

VAULT: Final = "imported"

_KEY = re.compile(r"\b(?:sk[-_]|gsk_|xai-|hf_|r8_|pplx-|gw_sk_|AIza|ghp_|github_pat_|xox[bap]-|AKIA)[-_A-Za-z0-9]{8,}")
_LITERAL = re.compile(r"""(?<![\w'"\\])r?('(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")""")
_CREDENTIAL_FIELDS: Final = frozenset(
    {"secret", "client_secret", "password", "api_key", "token", "private_key", "server_private_key", "authtoken"}
)
_CREDENTIAL_HEADERS: Final = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "x-auth-token"}
)
_SCHEME = re.compile(r"((?:Bearer|Basic|Token|ApiKey)\s+)(\S.*)", re.IGNORECASE | re.DOTALL)
_INTERPOLATED = re.compile(r"(\$\{.*?\}|\$<.*?>)", re.DOTALL)
_SHORTEST: Final = 6


class Hiding:
    """The secrets of one file, each under a name of its own."""

    def __init__(self, imported: Imported) -> None:
        self._imported = imported
        self._names: dict[str, str] = {}

    def call(self, value: str, label: str, place: Place) -> str:
        """`secrets.get('imported', 'openai-1')` in place of a value."""
        if value not in self._names:
            self._names[value] = self._new(label, place)
        return self._known(value)

    def _known(self, value: str) -> str:
        return f"secrets.get('{VAULT}', '{self._names[value]}')"

    def another(self, label: str, place: Place, note: str) -> str:
        """The same for a secret that the file does not have; the note says where it comes from."""
        return f"secrets.get('{VAULT}', '{self._new(label, place, note)}')"

    def _new(self, label: str, place: Place, note: str = "") -> str:
        stem = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "secret"
        taken = {secret.name for secret in self._imported.secrets}
        name = next(each for n in range(1, len(taken) + 2) if (each := f"{stem}-{n}") not in taken)
        self._imported.secrets.append(NeededSecret(VAULT, name, secret_variable(VAULT, name), place, note))
        return name

    def of_environment(self, variable: str, place: Place, note: str = "") -> str:
        """`secrets.get('OPENAI_API_KEY')`: a variable that is there already stays where it is."""
        needed = NeededSecret("default", variable, variable, place, note or "as before, from the environment")
        if all((each.vault, each.name) != ("default", variable) for each in self._imported.secrets):
            self._imported.secrets.append(needed)
        return f"secrets.get('{variable}')"

    def config(self, value: Any, label: str, place: Any, path: Sequence[str | int] = ()) -> Any:
        """A configured value of any depth as plain data; `place` gives the place of a path in it."""
        if isinstance(value, dict):
            return {str(key): self.config(item, label, place, (*path, str(key))) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.config(item, label, place, (*path, number)) for number, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        if _is_expression(path):
            return self.expression(str(value), label, place(tuple(path)))
        return self._text(str(value), label, place(tuple(path)), path)

    def _text(self, text: str, label: str, place: Place, path: Sequence[str | int]) -> str:
        if _INTERPOLATED.search(text):
            parts = _INTERPOLATED.split(text)
            return "".join(
                self._inner(part, label, place) if part.startswith(("${", "$<")) else self._keys(part, label, place)
                for part in parts
            )
        if text and _is_credential(path):
            scheme = _SCHEME.fullmatch(text)
            pair = text.partition(":") if "credentials" in path else ("", "", "")
            before, secret = (scheme[1], scheme[2]) if scheme else ("", text)
            if pair[2]:
                before, secret = f"{pair[0]}:", pair[2]
            return f"{before}${{{self.call(secret, label, place)}}}"
        return self._keys(text, label, place)

    def _inner(self, part: str, label: str, place: Place) -> str:
        return part[:2] + self.expression(part[2:-1], label, place) + part[-1]

    def _keys(self, text: str, label: str, place: Place) -> str:
        return _KEY.sub(lambda found: f"${{{self.call(found[0], label, place)}}}", text)

    def expression(self, text: str, label: str, place: Place) -> str:
        """An expression in which a literal that holds a key is put together anew."""

        return _in_literals(text, _KEY, lambda key: self.call(key, label, place))

    def message(self, text: str) -> str:
        """A message without the values: what is wrong with one may be told by showing it."""
        for value in sorted(self._names, key=len, reverse=True):
            text = text.replace(value, "***") if len(value) >= _SHORTEST else text
        return text

    def whole(self, data: Any, *path: str) -> Any:
        """The finished policy, in which no value may stand anywhere, such as a password that is also in a log entry."""
        if isinstance(data, dict):
            return {str(key): self.whole(item, *path, str(key)) for key, item in data.items()}
        if isinstance(data, list):
            return [self.whole(item, *path) for item in data]
        return self._anywhere(data, path) if isinstance(data, str) else data

    def _anywhere(self, text: str, path: Sequence[str]) -> str:
        for value, name in self._names.items():
            if len(value) < _SHORTEST or value not in text or f"'{name}'" in text:
                continue
            if _is_expression(path):
                text = _in_literals(text, re.compile(re.escape(value)), self._known)
            else:
                text = text.replace(value, f"${{{self._known(value)}}}")
        return text


def _in_literals(text: str, form: re.Pattern[str], call: Callable[[str], str]) -> str:
    """An expression in which each literal that has such a value in it is put together from what is around that."""

    def together(found: re.Match[str]) -> str:
        quote, inner = found[1][0], found[1][1:-1]
        value = form.search(inner)
        if value is None:
            return found[0]
        before, after = (
            f"{quote}{part}{quote}" if part else "" for part in (inner[: value.start()], inner[value.end() :])
        )
        return f"({' + '.join(filter(None, (before, call(value[0]), after)))})"

    return _LITERAL.sub(together, text)


def _is_expression(path: Sequence[str | int]) -> bool:
    fields = [step for step in path if isinstance(step, str)]
    return bool(fields) and fields[-1] in ("expressions", "strategy", "bucket_key", "retry_condition")


def _is_credential(path: Sequence[str | int]) -> bool:
    fields = [step for step in path if isinstance(step, str)]
    if not fields:
        return False
    last = fields[-1].lower()
    if "headers" in fields[:-1]:
        return last in _CREDENTIAL_HEADERS
    under_keys = last == "value" and bool({"api_keys", "keys"} & set(fields))
    return last in _CREDENTIAL_FIELDS or last == "credentials" or under_keys
