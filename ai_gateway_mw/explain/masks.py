"""Masks: values made fit to be shown. Secrets become their names, and everything has its bounds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ai_gateway_mw.cel import Explanation, OptionalValue, UInt
from ai_gateway_mw.errors import without_keys
from ai_gateway_mw.keys import without_gateway_keys
from ai_gateway_mw.providers import Model, Provider
from ai_gateway_mw.secrets import Secret, SecretSource, SecretStore
from ai_gateway_mw.upstream.key_ring import ProviderKey

_LONGEST: Final = 400
_ITEMS: Final = (12, 12, 6, 4, 4)  # of a value, by their depth: all of them together have a bound, too
_SHORT: Final = 4  # a secret as short as this is masked only where it stands alone
_CLIENTS: Final = "client/"
_MADE: Final = "made from a secret"
_SECRET: Final = re.compile(r"Secret\('[^']*'\)")
_HIDDEN: Final = "(made from a secret)"


class WatchedStore(SecretStore):
    """A store that keeps the names of what it has handed out."""

    def __init__(self, sources: Sequence[SecretSource]) -> None:
        self.names: dict[str, str] = {}
        super().__init__(sources)

    def remember(self, secret: Secret) -> None:
        value = secret.reveal()
        if self.names.get(value, _CLIENTS).startswith(_CLIENTS):  # what both have goes by the operator's name
            self.names[value] = secret.name
        super().remember(secret)


class Masks:
    """What may be shown of the values of one rehearsal."""

    def __init__(self, store: WatchedStore) -> None:
        self._store = store

    def hide(self, value: str, name: str) -> None:
        """Show this by its name, too. The store shall not know it: a client's own key is no secret of the operator."""
        if value:
            self._store.names.setdefault(value, name)

    def name_of(self, key: ProviderKey) -> str:
        """A provider key by its secret (`vault/name`), or by its id where it stands in the policy."""
        return self._store.names.get(key.value.reveal(), key.id)

    def text(self, text: str) -> str:
        """The text with the names of secrets in their places."""
        names = self._store.names
        if text in names:
            return repr(Secret("", names[text]))
        for value in sorted(names, key=len, reverse=True):
            if len(value) > _SHORT and value in text:
                text = text.replace(value, repr(Secret("", names[value])))
        return without_gateway_keys(self._store.redact(text))

    def bounded(self, text: str, longest: int = _LONGEST) -> str:
        """The same, and no longer than this."""
        shown = self.text(text)
        return shown if len(shown) <= longest else f"{shown[:longest]}… ({len(shown):,} characters)"

    def value(self, value: Any, depth: int = 0) -> Any:
        """The value as JSON has it."""
        most = _ITEMS[depth] if depth < len(_ITEMS) else 0
        if most and isinstance(value, Mapping):
            shown = {self.bounded(str(k)): self.value(v, depth + 1) for k, v in list(value.items())[:most]}
            return shown | ({"…": f"{len(value) - most} more"} if len(value) > most else {})
        if most and isinstance(value, list | tuple):
            items = [self.value(item, depth + 1) for item in value[:most]]
            return items + ([f"… {len(value) - most} more"] if len(value) > most else [])
        if isinstance(value, OptionalValue):
            return self.value(value.value, depth) if value.present else None
        if value is None or isinstance(value, bool):
            return value
        return self._number(value) if isinstance(value, int | float) else self._as_text(value)

    def _number(self, value: float) -> float | str:
        """As text, if it is a secret, or one that JSON does not have."""
        number = int(value) if isinstance(value, UInt) else value
        shown = self.text(str(number))
        return number if shown == str(number) and math.isfinite(number) else shown

    def _as_text(self, value: Any) -> str:
        match value:
            case str():
                return self.bounded(value)
            case bytes():
                return self.bounded(value.decode("utf-8", "backslashreplace"))
            case Mapping() | list() | tuple():
                return "…"
            case Secret():
                return repr(value)
            case Model():
                return f"{value.provider_id}:{value.id}"
            case Provider():
                return value.id
            case ProviderKey():
                return f"key {self.name_of(value)}"
        ours = type(value).__module__.startswith("ai_gateway_mw.cel")
        return self.bounded(str(value)) if ours else type(value).__name__

    def explanation(self, told: Explanation) -> dict[str, Any]:
        """An explanation as JSON has it; `value` only where there is one."""
        shown: dict[str, Any] = {"source": without_keys(self.text(told.source))}
        if told.variables:
            shown["with"] = {name: self.value(value) for name, value in told.variables.items()}
        if not told.reached:
            shown["reached"] = False
        elif told.error:
            shown["error"] = self.text(told.error)
        else:
            shown["value"] = self._of(told)
        if told.parts:
            shown["parts"] = [self.explanation(part) for part in told.parts]
        if told.untold:
            shown["untold"] = told.untold
        return shown

    def _of(self, told: Explanation) -> Any:
        value = self.value(told.value)
        if not told.secret or value is None or isinstance(value, bool):
            return value
        if not isinstance(value, str) or value == told.value:
            return _HIDDEN
        return value if all(piece in told.source for piece in _SECRET.split(value)) else _HIDDEN

    def learn(self, told: Explanation) -> None:
        """Hide from now on what an expression has made from a secret, wherever it turns up."""
        for part in told.parts:
            self.learn(part)
        if told.secret and isinstance(told.value, str) and self.text(told.value) == told.value:
            self.hide(told.value, _MADE)
