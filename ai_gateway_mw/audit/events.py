"""What is written to the audit log: events, who caused them, and the entries as they are read again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final


class Event(StrEnum):
    """What happened; the part before the dot is what it happened to."""

    KEY_CREATED = "key.created"
    KEY_CHANGED = "key.changed"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"
    KEY_REFUSED = "key.refused"  # a revoked or expired key was used, for the first time
    ADMIN_LOGIN = "admin.login"
    ADMIN_REFUSED = "admin.refused"
    POLICY_LOADED = "policy.loaded"
    SECRET_SET = "secret.set"  # noqa: S105  (the name of an event)
    SECRET_DELETED = "secret.deleted"  # noqa: S105
    REQUEST = "request"  # written before each upstream call where AUDIT_REQUESTS is on


KEY_EVENTS: Final = frozenset(event for event in Event if event.startswith("key."))
_GROUPS: Final = {"api key": "key", "api keys": "key", "keys": "key"}


def events_of(name: str) -> frozenset[Event]:
    """The events of a name: one event, or all that happen to `key` (also `API Key`), `admin`, `policy`, `secret`.

    Raises `ValueError` for a name that is neither.
    """
    wanted = _GROUPS.get(name.strip().casefold(), name.strip().casefold())
    found = frozenset(event for event in Event if event == wanted or event.startswith(f"{wanted}."))
    if not found:
        raise ValueError(f"there is no event `{name}`; there are {', '.join(Event)}, and `API Key` for those of keys")
    return found


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it (`cli:deploy`, `admin`, `gateway`), and the address that it came from, where there is one."""

    name: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the log. `details` is JSON as it was written, without secrets: `before` and `after` of a change."""

    seq: int
    at: datetime
    event: str
    actor: str
    address: str
    subject: str
    details: str
    mac: bytes

    def as_json(self) -> dict[str, Any]:
        """As it is listed and exported; JSON escapes what could break a line or a terminal."""
        return {
            "seq": self.seq,
            "at": self.at.isoformat(),
            "event": self.event,
            "actor": self.actor,
            "address": self.address,
            "subject": self.subject,
            "details": _read(self.details),
            "mac": self.mac.hex(),
        }


def _read(details: str) -> Any:
    """Somebody may have edited them: then `verify` tells, and what is there is still shown."""
    try:
        return json.loads(details)
    except ValueError:
        return details


def kept_text(text: str) -> str:
    """A text as every database can hold it: halves of characters, as file names have them, and NUL are spelled out."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")


def details_text(details: Mapping[str, Any]) -> str:
    """Details as they are written: one spelling for one content, all ASCII."""
    return json.dumps(details, sort_keys=True, separators=(",", ":"), default=str)
