"""Answers about the audit log: its entries, and whether it is whole."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from ai_gateway_mw.admin.answers.answer import Answer
from ai_gateway_mw.audit import Event


class AuditEntry(Answer):
    """One row of the audit log."""

    seq: int
    at: datetime
    event: Event
    actor: str
    address: str
    subject: str
    details: dict[str, Any]
    mac: str


class AuditEntries(Answer):
    """One page of the audit log, newest first."""

    entries: list[AuditEntry]
    next: int | None = Field(description="What to give as `before` for the next page; null on the last.")


class Fault(Answer):
    """Where the chain breaks."""

    seq: int
    text: str


class Verdict(Answer):
    """Whether the audit log is what was written."""

    whole: bool
    head: str = Field(description="Worth keeping where nobody who writes to the database can write.")
    faults: list[Fault] = Field(description="The first of them.")
