"""What some providers ask of an endpoint before they deliver to it."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from ai_gateway_mw.webhooks.delivery import Delivery, Unverified, pairs

# No text of these characters is a JSON document that a delivery could hold: who asks for signatures gets none to use.
_TOKEN: Final = re.compile(r"[A-Za-z0-9_=+/.-]{1,256}")


class Challenge(NamedTuple):
    """`answer` gives the body of the answer (JSON, or text), None where the delivery is no challenge.

    Some come with a signature like any delivery, and are answered once that is verified.
    """

    answer: Callable[[Delivery, str], Mapping[str, Any] | str | None]
    is_signed: bool


def _twitter(delivery: Delivery, secret: str) -> Mapping[str, Any] | None:
    found = [value for name, value in pairs(urlsplit(delivery.target).query) if name == "crc_token"]
    if delivery.method != "GET" or len(found) != 1 or not _TOKEN.fullmatch(found[0]):
        return None
    made = hmac.digest(secret.encode(), found[0].encode(), "sha256")
    return {"response_token": f"sha256={base64.b64encode(made).decode()}"}


def _worldline(delivery: Delivery, secret: str) -> str | None:
    value = delivery.field("x-gcs-webhooks-endpoint-verification")
    return value if delivery.method == "GET" and _TOKEN.fullmatch(value) else None


def _xero(delivery: Delivery, secret: str) -> str | None:
    """An `intent to receive` has no events; Xero wants 200 for a right signature and 401 for a wrong one."""
    return "" if _object(delivery).get("events") == [] else None


def _zoom(delivery: Delivery, secret: str) -> Mapping[str, Any] | None:
    message = _object(delivery)
    payload = message.get("payload")
    plain = payload.get("plainToken") if isinstance(payload, dict) else None
    if message.get("event") != "endpoint.url_validation" or not isinstance(plain, str) or not _TOKEN.fullmatch(plain):
        return None
    return {"plainToken": plain, "encryptedToken": hmac.digest(secret.encode(), plain.encode(), "sha256").hex()}


def _object(delivery: Delivery) -> Mapping[str, Any]:
    try:
        return delivery.json()
    except Unverified:
        return {}


CHALLENGES: Final[Mapping[str, Challenge]] = {
    "twitter": Challenge(_twitter, is_signed=False),
    "worldline": Challenge(_worldline, is_signed=False),
    "xero": Challenge(_xero, is_signed=True),
    "zoom": Challenge(_zoom, is_signed=True),
}
