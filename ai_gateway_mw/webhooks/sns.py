"""Amazon SNS signs with a key whose certificate it publishes; a message says where. Needs `cryptography`."""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ai_gateway_mw.webhooks.delivery import Delivery, Unverified, check_time

_TOLERANCE: Final = 3_600.0  # SNS repeats a delivery for about that long, under its first timestamp
# No region begins with `s3-`: that would be S3, where `sns` is the bucket of somebody.
_CERTIFICATE: Final = re.compile(
    r"https://sns\.(?!s3-)[a-z0-9-]{3,32}\.amazonaws\.com(?:\.cn)?/[A-Za-z0-9_-]{1,128}\.pem"
)
_NOTIFICATION: Final = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_SUBSCRIPTION: Final = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED: Final = {
    "Notification": _NOTIFICATION,
    "SubscriptionConfirmation": _SUBSCRIPTION,
    "UnsubscribeConfirmation": _SUBSCRIPTION,
}

Certificates = Callable[[str], Awaitable[bytes]]


async def verify_sns(delivery: Delivery, certificate_at: Certificates, now: float) -> None:
    """Whether Amazon has sent this, for whatever topic. Raises `Unverified`."""
    message = delivery.json()
    names = _SIGNED.get(str(message.get("Type")))
    url = message.get("SigningCertURL")
    if names is None or not isinstance(url, str) or not _CERTIFICATE.fullmatch(url):
        raise Unverified("it names no certificate of Amazon SNS")
    text = "".join(f"{name}\n{message[name]}\n" for name in names if message.get(name) is not None)
    _check(message, text.encode("utf-8", "surrogatepass"), await certificate_at(url))
    check_time(str(message.get("Timestamp")), now, _TOLERANCE)


def _check(message: dict[str, Any], text: bytes, pem: bytes) -> None:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - it is no part of the core
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA1, SHA256  # noqa: PLC0415
    from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415

    hashing = {"1": SHA1, "2": SHA256}.get(str(message.get("SignatureVersion")))
    try:
        key = load_pem_x509_certificate(pem).public_key()
        given = base64.b64decode(str(message.get("Signature")), validate=True)
    except ValueError:
        raise Unverified("its signature, or its certificate, cannot be read") from None
    if hashing is None or not isinstance(key, RSAPublicKey):
        raise Unverified("its signature is of an unknown version")
    try:
        key.verify(given, text, PKCS1v15(), hashing())
    except InvalidSignature:
        raise Unverified("its signature is wrong") from None
