from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ai_gateway_mw.headers import Fields
from ai_gateway_mw.webhooks import PROVIDERS, WITHOUT_SECRET, Delivery, Unverified, verify_sns
from tests.webhook_signing import BODY, FORM, FORM_TYPE, ORIGIN, SECRET, SIGNERS, TARGET, Sent, b64, digest_of, hexed

NOW = 1_700_000_000
# Those whose signature covers a time, by their tolerance in seconds.
TIMED = {
    **dict.fromkeys(["airship", "buildkite", "calendly", "contentful", "go1", "graphcms", "hostedhooks"], 180),
    **dict.fromkeys(["linear", "mailgun", "orb", "pinwheel", "sendgrid", "tiktok", "zendesk"], 180),
    **dict.fromkeys(["brex", "clerk", "frameio", "hubspot", "mux", "slack", "stripe", "svix", "zoom"], 300),
    "box": 600,
}
NOT_OVER_THE_BODY = {"gitlab", "mailgun", "vmware"}


def delivery(sent: Sent, *, body: bytes | None = None, target: str = TARGET, **fields: str) -> Delivery:
    all_fields = {**sent.fields, **fields}
    listed = [(name.encode(), value.encode("latin-1")) for name, value in all_fields.items()]
    return Delivery(sent.method, ORIGIN, target, Fields(listed), sent.body if body is None else body)


def verdict(name: str, given: Delivery, secret: str, now: float = NOW) -> str:
    """Why it is refused; empty where it is not."""
    try:
        PROVIDERS[name](given, secret, now)
    except Unverified as error:
        return str(error)
    return ""


def test_every_provider_has_a_signer_in_the_tests() -> None:
    assert SIGNERS.keys() | WITHOUT_SECRET == PROVIDERS.keys()


@pytest.mark.parametrize("name", SIGNERS)
def test_what_a_provider_signs_is_verified(name: str) -> None:
    sent = SIGNERS[name](NOW)
    assert verdict(name, delivery(sent), sent.secret) == ""


@pytest.mark.parametrize("name", SIGNERS)
def test_another_secret_is_refused(name: str) -> None:
    sent = SIGNERS[name](NOW)
    for secret in ("another-secret", "YW5vdGhlcg==", ""):
        assert verdict(name, delivery(sent), secret) != ""


@pytest.mark.parametrize("name", sorted(SIGNERS.keys() - NOT_OVER_THE_BODY - {"plivo"}))
def test_another_body_is_refused(name: str) -> None:
    sent = SIGNERS[name](NOW)
    assert verdict(name, delivery(sent, body=sent.body.replace(b"e", b"E", 1) + b" "), sent.secret) != ""


@pytest.mark.parametrize("name", SIGNERS)
def test_without_its_fields_it_is_refused(name: str) -> None:
    sent = SIGNERS[name](NOW)
    for left_out in sent.fields:
        if left_out in ("content-type", "box-signature-primary"):
            continue
        given = sent._replace(fields={key: value for key, value in sent.fields.items() if key != left_out})
        assert verdict(name, delivery(given), sent.secret) != "", left_out
    assert verdict(name, delivery(Sent({}, b"")), sent.secret) != ""


@pytest.mark.parametrize(
    "value", ["", "=", "v1=", "sha256=", "t=,v1=", "é", "\xff", "00", "AA==", "a" * 20_000, ",,,,"]
)
@pytest.mark.parametrize("name", sorted(SIGNERS.keys() - {"mailgun"}))
def test_nonsense_is_refused(name: str, value: str) -> None:
    sent = SIGNERS[name](NOW)
    for field in sent.fields.keys() - {"content-type", "box-signature-primary"}:
        assert verdict(name, delivery(sent, **{field: value}), sent.secret) != ""


@pytest.mark.parametrize(("name", "tolerance"), TIMED.items())
def test_a_delivery_is_good_for_a_while(name: str, tolerance: int) -> None:
    sent = SIGNERS[name](NOW)
    for offset in (-tolerance, tolerance):
        assert verdict(name, delivery(sent), sent.secret, NOW + offset) == ""
    for offset in (-tolerance - 1, tolerance + 1, 10**9):
        assert "timestamp" in verdict(name, delivery(sent), sent.secret, NOW + offset)


@pytest.mark.parametrize("name", sorted(TIMED.keys() - {"linear", "mailgun"}))
def test_a_time_cannot_be_changed(name: str) -> None:
    old, new = SIGNERS[name](NOW - 10_000), SIGNERS[name](NOW)
    for field, value in new.fields.items():
        if "timestamp" in field:
            assert verdict(name, delivery(old, **{field: value}), old.secret) != ""
    for field, value in old.fields.items():
        moved = value.replace(str(NOW - 10_000), str(NOW))
        if moved != value:
            assert verdict(name, delivery(old, **{field: moved}), old.secret) != ""


def test_two_different_signatures_are_refused() -> None:
    sent = SIGNERS["github"](NOW)
    good = sent.fields["x-hub-signature-256"].encode()
    fields = Fields([(b"x-hub-signature-256", good), (b"x-hub-signature-256", b"sha256=00")])
    assert "more than once" in verdict("github", Delivery("POST", ORIGIN, TARGET, fields, sent.body), SECRET)


# Vectors that the providers themselves publish -----------------------------------------------------------------------


PUBLISHED = [
    pytest.param(
        "github",
        "It's a Secret to Everybody",
        {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
        b"Hello, World!",
        0,
        id="github",
    ),
    pytest.param(
        "slack",
        "8f742231b10e8888abcd99yyyzzz85a5",
        {
            "x-slack-request-timestamp": "1531420618",
            "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        },
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
        1531420618,
        id="slack",
    ),
    pytest.param(
        "svix",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        {
            "svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "svix-timestamp": "1614265330",
            "svix-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        b'{"test": 2432232314}',
        1614265330,
        id="svix",
    ),
]


@pytest.mark.parametrize(("name", "secret", "fields", "body", "now"), PUBLISHED)
def test_published_vectors(name: str, secret: str, fields: dict[str, str], body: bytes, now: int) -> None:
    assert verdict(name, delivery(Sent(fields, body)), secret, now) == ""


# The odd ones --------------------------------------------------------------------------------------------------------


def test_buildkite_may_send_its_token_instead() -> None:
    assert verdict("buildkite", delivery(Sent({"x-buildkite-token": SECRET})), SECRET) == ""
    assert verdict("buildkite", delivery(Sent({"x-buildkite-token": "x"})), SECRET) == "its token is wrong"


def test_plivo_messages_are_signed_in_the_older_way() -> None:
    fields = {"x-plivo-signature-v2": b64(f"{ORIGIN}/in/comingnonce"), "x-plivo-signature-v2-nonce": "nonce"}
    assert verdict("plivo", delivery(Sent(fields)), SECRET) == ""


@pytest.mark.parametrize(
    ("target", "message"),
    [("/p?b=2&a=1", "/p?a=1&b=2.n"), ("/p", "/p.n")],
)
def test_plivo_sorts_the_query_of_a_get(target: str, message: str) -> None:
    fields = {"x-plivo-signature-v3": b64(ORIGIN + message), "x-plivo-signature-v3-nonce": "n"}
    given = delivery(Sent(fields, b"", method="GET"), target=target)
    assert verdict("plivo", given, SECRET) == ""


def test_plivo_signs_a_form_without_a_query() -> None:
    """Their SDK writes the `?` whenever there are parameters."""
    fields = {"x-plivo-signature-v3": b64(f"{ORIGIN}/p?aeins +bzwei.n"), "x-plivo-signature-v3-nonce": "n"}
    assert verdict("plivo", delivery(Sent(FORM_TYPE | fields, FORM), target="/p"), SECRET) == ""


def test_twilio_signs_the_digest_of_json() -> None:
    body = b'{"a":1}'
    target = f"/json?bodySHA256={digest_of(body)}"
    sent = Sent({"x-twilio-signature": b64(ORIGIN + target, "sha1"), "content-type": "application/json"}, body)
    assert verdict("twilio", delivery(sent, target=target), SECRET) == ""
    assert "digest" in verdict("twilio", delivery(sent, target=target, body=b'{"a":2}'), SECRET)
    unsigned = Sent({"x-twilio-signature": b64(f"{ORIGIN}/json", "sha1")}, body)
    assert "digest" in verdict("twilio", delivery(unsigned, target="/json"), SECRET)


def test_hubspot_signs_some_characters_of_a_url_as_they_are() -> None:
    sent = "/in?to=%2Fa%2fb%3Fc&at=%3A%40%21%24%27%28%29%2A%2C%3B&left=%20%26%252F%C3%A9"
    meant = "/in?to=/a/b?c&at=:@!$'()*,;&left=%20%26%252F%C3%A9"
    signature = b64(f"POST{ORIGIN}{meant}".encode() + BODY + b"1700000000000")
    fields = {"x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": "1700000000000"}
    assert verdict("hubspot", delivery(Sent(fields), target=sent), SECRET, 1_700_000_000) == ""


def test_mailgun_has_no_signature_in_a_body_without_one() -> None:
    for body in (b"{}", b"[]", b"{", b'{"signature":5}', b'{"signature":{}}'):
        assert verdict("mailgun", delivery(Sent({}, body)), SECRET) != ""


def test_linear_may_leave_the_time_out() -> None:
    body = b"{}"
    assert verdict("linear", delivery(Sent({"linear-signature": hexed(body)}, body)), SECRET) == ""


def test_contentful_must_sign_its_time() -> None:
    names = "x-contentful-signed-headers"
    signature = hexed(f"POST\n{TARGET}\n{names}:{names}\n{{}}")
    fields = {names: names, "x-contentful-timestamp": f"{NOW}000", "x-contentful-signature": signature}
    assert "timestamp" in verdict("contentful", delivery(Sent(fields, b"{}")), SECRET)


def test_a_form_with_too_many_fields_is_refused() -> None:
    body = urlencode([("a", "1")] * 2_000).encode()
    assert "too many" in verdict(
        "mailchimp", delivery(Sent(FORM_TYPE | {"x-mandrill-signature": "AA=="}, body)), SECRET
    )


# Amazon SNS ----------------------------------------------------------------------------------------------------------

CERTIFICATE_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123.pem"
SNS_KEY = rsa.generate_private_key(65537, 2048)


def certificate(key: rsa.RSAPrivateKey = SNS_KEY) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    start = datetime(2023, 1, 1, tzinfo=UTC)
    built = x509.CertificateBuilder(name, name, key.public_key(), 5, start, start + timedelta(days=3_000))
    return built.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def sns(version: str = "1", **changes: Any) -> dict[str, Any]:
    time = datetime.fromtimestamp(NOW, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    message = {
        "Type": "Notification",
        "MessageId": "m-1",
        "TopicArn": "arn:aws:sns:eu-west-1:1:topic",
        "Subject": "news",
        "Message": "hello",
        "Timestamp": time,
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE_URL,
    } | changes
    message = {name: value for name, value in message.items() if value is not None}
    if message["Type"] == "Notification":
        names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
    else:
        names = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    text = "".join(f"{name}\n{message[name]}\n" for name in names if name in message)
    hashing: Any = hashes.SHA1() if version == "1" else hashes.SHA256()
    signature = SNS_KEY.sign(text.encode(), padding.PKCS1v15(), hashing)
    return message | {"Signature": base64.b64encode(signature).decode()}


async def sns_verdict(message: Any, pem: bytes | None = None, now: float = NOW) -> str:
    asked = []

    async def at(url: str) -> bytes:
        asked.append(url)
        return pem or certificate()

    given = delivery(Sent({"content-type": "text/plain"}, json.dumps(message).encode()))
    try:
        await verify_sns(given, at, now)
    except Unverified as error:
        return str(error)
    finally:
        assert asked in ([], [CERTIFICATE_URL])
    return ""


@pytest.mark.anyio
@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"Subject": None},
        {"Type": "SubscriptionConfirmation", "Token": "t", "SubscribeURL": "https://x", "Subject": None},
        {"Type": "UnsubscribeConfirmation", "Token": "t", "SubscribeURL": "https://x", "Subject": None},
    ],
)
async def test_sns_signs_with_its_certificate(version: str, changes: dict[str, Any]) -> None:
    assert await sns_verdict(sns(version, **changes)) == ""


@pytest.mark.anyio
@pytest.mark.parametrize(
    "change",
    [
        {"Message": "other"},
        {"TopicArn": "arn:other"},
        {"SignatureVersion": "2"},
        {"SignatureVersion": "3"},
        {"Signature": "AA=="},
        {"Signature": "!"},
        {"Type": "Other"},
        {"SigningCertURL": None},
        {"SigningCertURL": "https://evil.example/x.pem"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com.evil.example/x.pem"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com/../x.pem"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com@evil.example/x.pem"},
        {"SigningCertURL": "http://sns.eu-west-1.amazonaws.com/x.pem"},
        {"SigningCertURL": "https://bucket.s3.amazonaws.com/x.pem"},
        {"SigningCertURL": "https://sns.s3.amazonaws.com/x.pem"},
        {"SigningCertURL": "https://sns.s3-us-west-2.amazonaws.com/x.pem"},
        {"SigningCertURL": "https://sns.s3-accelerate.amazonaws.com/x.pem"},
    ],
)
async def test_what_sns_did_not_sign_is_refused(change: dict[str, Any]) -> None:
    assert await sns_verdict(sns() | change) != ""


@pytest.mark.anyio
async def test_sns_messages_do_not_last() -> None:
    assert await sns_verdict(sns(), now=NOW + 3_600) == ""
    assert "timestamp" in await sns_verdict(sns(), now=NOW + 3_601)
    assert await sns_verdict(sns(), b"no certificate") != ""
    assert await sns_verdict(sns(), certificate(rsa.generate_private_key(65537, 2048))) == "its signature is wrong"
