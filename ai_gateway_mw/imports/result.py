"""What an import gives: policies, secrets that have to be set, and remarks on what was left out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ai_gateway_mw.errors import Place, PolicyError, Problem


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that could not be carried over as it was, and what to do instead. Shows no line of the file: it may
    hold a secret."""

    place: Place
    message: str
    instead: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}; {self.instead}" if self.instead else f"{self.place}: {self.message}"

    def as_json(self) -> dict[str, Any]:
        where = {"file": self.place.file, "line": self.place.line, "column": self.place.column}
        return {**where, "message": self.message, "instead": self.instead}


@dataclass(frozen=True, slots=True)
class NeededSecret:
    """A secret that a policy reads; its value stays in the file that was imported."""

    vault: str
    name: str
    variable: str
    place: Place
    note: str = ""

    def __str__(self) -> str:
        value = self.note or f"the value at {self.place}"
        return f"{self.variable}: {value}"

    def as_json(self) -> dict[str, Any]:
        where = {"file": self.place.file, "line": self.place.line, "column": self.place.column}
        return {"vault": self.vault, "name": self.name, "variable": self.variable, **where, "note": self.note}


@dataclass(frozen=True, slots=True)
class ImportedPolicy:
    """A policy under the name that its file may have."""

    name: str
    data: Mapping[str, Any]
    about: str


@dataclass(slots=True)
class Imported:
    """All that came out of one file."""

    kind: str
    policies: list[ImportedPolicy] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    secrets: list[NeededSecret] = field(default_factory=list)

    def remark(self, place: Place, message: str, instead: str = "") -> None:
        found = Remark(place, message, instead)
        if found not in self.remarks:
            self.remarks.append(found)

    def add(self, name: str, data: Mapping[str, Any], about: str) -> None:
        """A policy; its name is made one that a file can have, and that no other has."""
        base = re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-.")[:80] or "policy"
        taken = {policy.name for policy in self.policies}
        numbered = (f"{base}-{number}" for number in range(2, len(taken) + 3))
        self.policies.append(ImportedPolicy(next(each for each in (base, *numbered) if each not in taken), data, about))


def unknown_file(message: str, place: Place) -> PolicyError:
    return PolicyError([Problem(message, place)])
