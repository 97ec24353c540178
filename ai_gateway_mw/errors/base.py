"""GatewayError, of which every refusal and failure that a caller may see is one; and those that belong nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self


class GatewayError(Exception):
    """A refusal or failure that the caller may see: `str(error)` is safe to show.

    `kind` is the error type of the OpenAI format, `anthropic_kind` that of the Anthropic format, `ngrok_code` the
    number that ngrok gave to the same thing (its text starts the message, so that existing checks keep working).
    `reason` is what the operator may know beyond that, and explanations tell; it never goes into an answer.
    """

    status: int = 500
    code: ClassVar[str] = "internal_error"
    kind: ClassVar[str] = "server_error"
    anthropic_kind: ClassVar[str] = "api_error"
    ngrok_code: ClassVar[int | None] = None
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str, *, fields: Sequence[tuple[str, str]] = (), param: str | None = None, reason: str = ""
    ) -> None:
        self.message = f"ERR_NGROK_{self.ngrok_code}: {message}" if self.ngrok_code else message
        self.fields = tuple(fields)
        self.param = param
        self.reason = reason
        super().__init__(self.message)

    def without_trace(self) -> Self:
        """The same error, for whoever keeps it, without where it comes from: the frames of a traceback hold all that
        they worked on, the error itself among it, and then only the cycle collector would free any of that."""
        self.__traceback__ = self.__cause__ = self.__context__ = None
        return self


class InternalError(GatewayError):
    """Something of ours failed; the log has the traceback, the caller only this."""

    def __init__(self) -> None:
        super().__init__("The gateway failed to handle this request.")


class PermissionDenied(GatewayError):
    status, code, kind, anthropic_kind = 403, "policy_denied", "permission_error", "permission_error"


class PolicyDenied(PermissionDenied):
    """An expression failed at run time, or a rule refused; `reason` goes to the log and never into the answer."""

    def __init__(self, reason: str) -> None:
        super().__init__("The request was refused by policy.")
        self.reason = reason


class Denied(GatewayError):
    """The `deny` action: a bare status without a body."""

    code = "denied"

    def __init__(self, status: int) -> None:
        super().__init__("The request was denied.")
        self.status = status


class ConnectionClosed(GatewayError):
    """The `close-connection` action: no answer at all where the server can do that, else a bare status."""

    code = "connection_closed"
    without_answer: ClassVar[int] = 444  # what the log says of those; nginx's number

    def __init__(self) -> None:
        super().__init__("The connection was closed.", fields=[("connection", "close")])
        self.status = 403


class Overloaded(GatewayError):
    status, code, anthropic_kind, retryable = 503, "overloaded", "overloaded_error", True
