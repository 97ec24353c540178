"""Names for things that have none yet."""

from __future__ import annotations

from uuid import UUID

from tests.cel.support import ENVIRONMENT, value


def test_a_uuid_is_random_and_made_anew_each_time() -> None:
    made = ENVIRONMENT.expression("uuid()")
    first, second = UUID(made({})), UUID(made({}))
    assert first.version == second.version == 4
    assert first.variant == second.variant
    assert first != second
    assert value("uuid() == uuid()") is False
