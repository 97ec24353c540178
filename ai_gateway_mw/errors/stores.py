"""What cannot be had: secrets, the database, the counters of limits. Messages hold no values."""

from __future__ import annotations


class SecretError(Exception):
    """A secret that cannot be had. The message names vault and name, and never holds bytes of a value."""


class SecretMissing(SecretError):
    """No source knows this secret."""


class SecretUnusable(SecretError):
    """A source has a value that cannot serve as a credential: empty, or with control characters."""


class DatabaseUnavailable(Exception):
    """The database cannot be reached or does not do what it is asked to; the message holds no values."""


class InstallationError(Exception):
    """What is kept in the database must not be used so: made by a newer version, or with another master key."""


class CountersUnusable(Exception):
    """The counters of limits cannot be had: their file cannot be made, opened or understood. The message names it."""
