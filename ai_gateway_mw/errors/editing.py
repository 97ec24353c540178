"""A body that was to be edited."""

from __future__ import annotations

from ai_gateway_mw.errors.base import GatewayError


class BodyNotEdited(GatewayError):
    """A rule had to change a body or a stream, and that could not be done; `reason` goes to the log. What it was to
    take out must not pass, so nothing does."""

    code, ngrok_code = "body_not_edited", 3904

    def __init__(self, reason: str) -> None:
        super().__init__("The policy could not edit this content.")
        self.reason = reason


class ReplacementFailed(BodyNotEdited):
    """The templates of a replacement failed."""

    ngrok_code = 3900


class ReplacementMalformed(BodyNotEdited):
    """What the templates of a replacement made is no regular expression."""

    ngrok_code = 3901


class BodyUnreadable(BodyNotEdited):
    """A body that cannot be held to be edited: it is encoded in a way that we do not read."""

    ngrok_code = 3902


class BodyNotHeld(BodyNotEdited):
    """A body that is too large to be held, or that did not come to its end."""

    status, ngrok_code = 502, 3903
