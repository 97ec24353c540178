"""The ways in which providers sign: nearly all are an HMAC over some parts of the delivery, put into a field."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from ai_gateway_mw.webhooks.delivery import TOLERANCE, Delivery, Scheme, Unverified, check_time

_MAX_SIGNATURES: Final = 100
_MAX_LENGTH: Final = 16 * 1024

Part = bytes | Callable[[Delivery, str], bytes]
Key = Callable[[str], bytes]


def BODY(delivery: Delivery, _: str) -> bytes:  # noqa: N802 - it reads like the constant that it stands for
    return delivery.body


def TIME(_: Delivery, time: str) -> bytes:  # noqa: N802
    return time.encode()


def URL(delivery: Delivery, _: str) -> bytes:  # noqa: N802
    return delivery.url.encode("latin-1", "replace")


def SORTED_FORM(delivery: Delivery, _: str) -> bytes:  # noqa: N802
    """Names and values of a form, in the order of the names, with nothing between them."""
    return "".join(name + value for name, value in sorted(delivery.form())).encode("utf-8", "surrogatepass")


def text_key(secret: str) -> bytes:
    return secret.encode()


def base64_key(secret: str) -> bytes:
    """A key in base64, which Standard Webhooks mark with `whsec_`."""
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise Unverified("the secret is no base64") from None


@dataclass(frozen=True, slots=True)
class Signed:
    """An HMAC in a field.

    Its value is the signature behind `prefix`; or, with `item`, a list such as `t=1,v1=ab,v1=cd` of which any item of
    that name may be right. `time` names the field that holds the time, or with a dot in front (`.t`) an item of the
    list.
    """

    fields: tuple[str, ...]
    message: tuple[Part, ...] = (BODY,)
    digest: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    prefix_optional: bool = False
    item: str = ""
    separator: str = ","
    time: str = ""
    tolerance: float = TOLERANCE
    key: Key = text_key

    def __call__(self, delivery: Delivery, secret: str, now: float) -> None:
        values = [value for name in self.fields if (value := delivery.field(name))]
        if not values:
            raise Unverified(f"there is no field `{self.fields[0]}`")
        if max(map(len, values)) > _MAX_LENGTH:
            raise Unverified("its signature is too long")
        time = self._time(delivery, values[0])
        parts = [part if isinstance(part, bytes) else part(delivery, time) for part in self.message]
        expected = hmac.digest(self.key(secret), b"".join(parts), self.digest)
        check_signatures(self._signatures(values), expected, self.encoding)
        if self.time:
            check_time(time, now, self.tolerance)

    def _time(self, delivery: Delivery, value: str) -> str:
        if not self.time.startswith("."):
            return delivery.needed(self.time) if self.time else ""
        found = items(value, self.time[1:], self.separator)
        if len(found) != 1:
            raise Unverified("it has no timestamp, or more than one")
        return found[0]

    def _signatures(self, values: Sequence[str]) -> Iterable[str]:
        if self.item:
            return [item for value in values for item in items(value, self.item, self.separator)]
        if self.prefix_optional:
            return [value.removeprefix(self.prefix) for value in values]
        return [value.removeprefix(self.prefix) for value in values if value.startswith(self.prefix)]


def items(value: str, name: str, separator: str = ",") -> list[str]:
    """The values of that name in a list such as `t=1,v1=ab`."""
    found = (each.strip().partition("=") for each in value.split(separator))
    return [item for key, equals, item in found if key == name and equals]


def check_signatures(given: Iterable[str], expected: bytes, encoding: Literal["hex", "base64"]) -> None:
    """Raises `Unverified` where none of them is the expected one. All are compared, each in constant time."""
    found = [_decoded(text, encoding) for _, text in zip(range(_MAX_SIGNATURES), given, strict=False)]
    if not sum(hmac.compare_digest(each, expected) for each in found):
        raise Unverified("its signature is wrong")


def _decoded(text: str, encoding: Literal["hex", "base64"]) -> bytes:
    try:
        return bytes.fromhex(text) if encoding == "hex" else base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def signed(*fields: str, **options: Any) -> Scheme:
    return Signed(fields, **options)


def standard(prefix: str, tolerance: float = 300.0) -> Scheme:
    """Standard Webhooks, which Svix began: `v1,<base64>` of id, time and body; several of them by blanks."""

    def verify(delivery: Delivery, secret: str, now: float) -> None:
        time = delivery.needed(f"{prefix}-timestamp")
        head = f"{delivery.needed(f'{prefix}-id')}.{time}."
        versions = (each.partition(",") for each in delivery.needed(f"{prefix}-signature").split(" "))
        given = [signature for version, _, signature in versions if version == "v1"]
        check_signatures(given, hmac.digest(base64_key(secret), head.encode() + delivery.body, "sha256"), "base64")
        check_time(time, now, tolerance)

    return verify


def token(name: str) -> Scheme:
    """The secret itself in a field."""

    def verify(delivery: Delivery, secret: str, now: float) -> None:
        if not hmac.compare_digest(delivery.needed(name).encode(), secret.encode()):
            raise Unverified("its token is wrong")

    return verify


def first_present(**schemes: Scheme) -> Scheme:
    """The first one whose field is there, underscores in its name standing for dashes; with none, the first."""

    def verify(delivery: Delivery, secret: str, now: float) -> None:
        for name, scheme in schemes.items():
            if delivery.field(name.replace("_", "-")):
                return scheme(delivery, secret, now)
        return next(iter(schemes.values()))(delivery, secret, now)

    return verify
