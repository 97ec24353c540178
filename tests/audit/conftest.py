"""What tests of this directory may ask for by name."""

from __future__ import annotations

import pytest

from ai_gateway_mw.database import Installation
from tests.installations import Kept


@pytest.fixture
def kept(database: Installation) -> Kept:
    """Services of a new installation, once in each kind of database."""
    return Kept(database)
