"""The schemes that are like no other one: what is signed is put together in the provider's own way."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from typing import Final
from urllib.parse import unquote, urlsplit

from ai_gateway_mw.webhooks.delivery import FIVE_MINUTES, TOLERANCE, Delivery, Unverified, check_time, pairs
from ai_gateway_mw.webhooks.schemes import check_signatures, items, text_key

_MAX_SIGNED_FIELDS: Final = 50
_HUBSPOT_PLAIN: Final = re.compile(r"%(?:3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)


def contentful(delivery: Delivery, secret: str, now: float) -> None:
    """Method, path, the fields that it names, and the body, on a line each."""
    names = [name.strip().lower() for name in delivery.needed("x-contentful-signed-headers").split(",")]
    time = delivery.needed("x-contentful-timestamp")
    if len(names) > _MAX_SIGNED_FIELDS or "x-contentful-timestamp" not in names:
        raise Unverified("its signature does not cover its timestamp")
    fields = ";".join(f"{name}:{delivery.field(name)}" for name in sorted(names))
    head = f"{delivery.method}\n{delivery.target}\n{fields}".encode("latin-1", "replace")
    expected = hmac.digest(text_key(secret), head + b"\n" + delivery.body, "sha256")
    check_signatures([delivery.needed("x-contentful-signature")], expected, "hex")
    check_time(time, now, TOLERANCE)


def graphcms(delivery: Delivery, secret: str, now: float) -> None:
    """A JSON object of the body as text, the environment and the time."""
    value = delivery.needed("gcms-signature")
    environments, times = items(value, "env"), items(value, "t")
    if len(times) != 1 or len(environments) != 1 or not (times[0].isascii() and times[0].isdigit()):
        raise Unverified("it has no timestamp, or more than one")
    try:
        said = {"Body": delivery.body.decode(), "EnvironmentName": environments[0], "TimeStamp": int(times[0])}
    except ValueError:
        raise Unverified("the body is no text") from None
    message = json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()
    check_signatures(items(value, "sign"), hmac.digest(text_key(secret), message, "sha256"), "base64")
    check_time(times[0], now, TOLERANCE)


def hubspot(delivery: Delivery, secret: str, now: float) -> None:
    """Method, URL, body and time; of the URL, HubSpot signs some characters as they are, however they were sent."""
    time = delivery.needed("x-hubspot-request-timestamp")
    url = _HUBSPOT_PLAIN.sub(lambda found: unquote(found[0]), delivery.url).encode("latin-1", "replace")
    message = delivery.method.encode() + url + delivery.body + time.encode()
    expected = hmac.digest(text_key(secret), message, "sha256")
    check_signatures([delivery.needed("x-hubspot-signature-v3")], expected, "base64")
    check_time(time, now, FIVE_MINUTES)


def linear(delivery: Delivery, secret: str, now: float) -> None:
    """The body, in which the time stands."""
    expected = hmac.digest(text_key(secret), delivery.body, "sha256")
    check_signatures([delivery.needed("linear-signature")], expected, "hex")
    time = delivery.json().get("webhookTimestamp")
    if time is not None:
        check_time(str(time), now, TOLERANCE)


def mailgun(delivery: Delivery, secret: str, now: float) -> None:
    """A time and a token that stand in the body beside the signature over them; the rest of it is not covered."""
    signature = delivery.json().get("signature")
    if not isinstance(signature, dict):
        raise Unverified("the body has no signature")
    time, token, given = (str(signature.get(name, "")) for name in ("timestamp", "token", "signature"))
    expected = hmac.digest(text_key(secret), (time + token).encode("utf-8", "surrogatepass"), "sha256")
    check_signatures([given], expected, "hex")
    check_time(time, now, TOLERANCE)


def plivo_v3(delivery: Delivery, secret: str, now: float) -> None:
    """The URL with its parameters sorted, those of the form, and a nonce."""
    parts = urlsplit(delivery.url)
    query, form = sorted(pairs(parts.query)), sorted(delivery.form())
    text = "&".join(f"{name}={value}" for name, value in (query if delivery.method != "GET" else sorted(query + form)))
    if delivery.method != "GET":
        listed = "".join(name + value for name, value in form)
        text = f"{text}.{listed}".rstrip(".") if query else listed
    base = f"{parts.scheme}://{parts.netloc}{parts.path}" + (f"?{text}" if query or form else "")
    message = f"{base}.{delivery.needed('x-plivo-signature-v3-nonce')}".encode("utf-8", "surrogatepass")
    given = [each.strip() for each in delivery.needed("x-plivo-signature-v3").split(",")]
    check_signatures(given, hmac.digest(text_key(secret), message, "sha256"), "base64")


def plivo_v2(delivery: Delivery, secret: str, now: float) -> None:
    """The URL without its parameters, and a nonce."""
    base = delivery.url.partition("?")[0]
    message = (base + delivery.needed("x-plivo-signature-v2-nonce")).encode("latin-1", "replace")
    expected = hmac.digest(text_key(secret), message, "sha256")
    check_signatures([delivery.needed("x-plivo-signature-v2")], expected, "base64")


def twilio(delivery: Delivery, secret: str, now: float) -> None:
    """The URL and the sorted form; of any other body, the URL holds a digest."""
    form = delivery.form()
    if delivery.body and not form:
        digests = [value for name, value in pairs(urlsplit(delivery.url).query) if name == "bodySHA256"]
        if len(digests) != 1 or not hmac.compare_digest(
            digests[0].lower().encode(), hashlib.sha256(delivery.body).hexdigest().encode()
        ):
            raise Unverified("the digest of its body is wrong")
    message = delivery.url + "".join(name + value for name, value in sorted(set(form)))
    expected = hmac.digest(text_key(secret), message.encode("utf-8", "surrogatepass"), "sha1")
    check_signatures([delivery.needed("x-twilio-signature")], expected, "base64")


def vmware(delivery: Delivery, secret: str, now: float) -> None:
    """Basic authentication; the secret is `name::password`."""
    name, _, password = secret.partition("::")
    expected = base64.b64encode(f"{name}:{password}".encode())
    scheme, _, given = delivery.needed("authorization").partition(" ")
    if not (hmac.compare_digest(given.strip().encode(), expected) and scheme.lower() == "basic"):
        raise Unverified("its credentials are wrong")


def sendgrid(delivery: Delivery, secret: str, now: float) -> None:
    """ECDSA over time and body; the secret is the public key that SendGrid shows."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - it is no part of the core
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_der_public_key  # noqa: PLC0415

    time = delivery.needed("x-twilio-email-event-webhook-timestamp")
    try:
        key = load_der_public_key(base64.b64decode(secret, validate=True))
        given = base64.b64decode(delivery.needed("x-twilio-email-event-webhook-signature"), validate=True)
    except (ValueError, binascii.Error):
        raise Unverified("its signature, or the public key, is no base64") from None
    if not isinstance(key, EllipticCurvePublicKey):
        raise Unverified("the public key is of another kind")
    try:
        key.verify(given, time.encode() + delivery.body, ECDSA(SHA256()))
    except InvalidSignature:
        raise Unverified("its signature is wrong") from None
    check_time(time, now, TOLERANCE)
