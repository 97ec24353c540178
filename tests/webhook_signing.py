"""How each provider of webhooks signs, written down a second time: by hand, with the HMAC of `cryptography`."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

BODY = b'{"event":"made","id":1}'
SECRET = "c2VjcmV0LXdpdGgtYmFzZTY0LWZvcm0="
KEY = base64.b64decode(SECRET)
ORIGIN = "https://hooks.example.com"
TARGET = "/in/coming?a=1&b=two"
FORM = urlencode({"b": "zwei", "a": "eins +"}).encode()
FORM_TYPE = {"content-type": "application/x-www-form-urlencoded"}
_ECDSA = ec.generate_private_key(ec.SECP256R1())
_HASHES = {"sha1": hashes.SHA1, "sha256": hashes.SHA256, "sha512": hashes.SHA512}


class Sent(NamedTuple):
    """A delivery as a provider would send it."""

    fields: Mapping[str, str]
    body: bytes = BODY
    secret: str = SECRET
    method: str = "POST"


def mac(message: bytes | str, key: bytes = SECRET.encode(), digest: str = "sha256") -> bytes:
    made = HMAC(key, _HASHES[digest]())
    made.update(message.encode() if isinstance(message, str) else message)
    return made.finalize()


def hexed(message: bytes | str, digest: str = "sha256") -> str:
    return mac(message, digest=digest).hex()


def b64(message: bytes | str, digest: str = "sha256") -> str:
    return base64.b64encode(mac(message, digest=digest)).decode()


def plain(field: str, prefix: str = "", digest: str = "sha256") -> Callable[[int], Sent]:
    return lambda _: Sent({field: prefix + hexed(BODY, digest)})


def in_base64(field: str, prefix: str = "", digest: str = "sha256") -> Callable[[int], Sent]:
    return lambda _: Sent({field: prefix + b64(BODY, digest)})


def timed(field: str, form: str, message: str, time_field: str = "", unit: int = 1) -> Callable[[int], Sent]:
    """`form` and `message` have `{t}` for the time; the signature follows `form`, the body `message`."""

    def sent(now: int) -> Sent:
        t = str(now * unit)
        times = {time_field: t} if time_field else {}
        return Sent({field: form.format(t=t) + hexed(message.format(t=t).encode() + BODY), **times})

    return sent


def svix(prefix: str) -> Callable[[int], Sent]:
    def sent(now: int) -> Sent:
        made = base64.b64encode(mac(b"msg_1.%d." % now + BODY, KEY)).decode()
        signatures = f"v1a,x v1,{base64.b64encode(b'other').decode()} v1,{made}"
        fields = {f"{prefix}-id": "msg_1", f"{prefix}-timestamp": str(now), f"{prefix}-signature": signatures}
        return Sent(fields, secret=f"whsec_{SECRET}")

    return sent


def iso(now: int) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat().replace("+00:00", "Z")


def _box(now: int) -> Sent:
    signature = base64.b64encode(mac(BODY + iso(now).encode())).decode()
    return Sent(
        {"box-delivery-timestamp": iso(now), "box-signature-primary": "AA==", "box-signature-secondary": signature}
    )


def _contentful(now: int) -> Sent:
    time = str(now * 1000)
    signed = "x-contentful-signed-headers,x-contentful-timestamp,content-type"
    listed = f"content-type:application/json;x-contentful-signed-headers:{signed};x-contentful-timestamp:{time}"
    signature = hexed(f"POST\n{TARGET}\n{listed}\n".encode() + BODY)
    return Sent(
        {
            "content-type": "application/json",
            "x-contentful-signature": signature,
            "x-contentful-signed-headers": signed,
            "x-contentful-timestamp": time,
        }
    )


def _graphcms(now: int) -> Sent:
    body = '{"operation":"publish","text":"ä \\" \\n"}'
    quoted = json.dumps(body, ensure_ascii=False)
    message = f'{{"Body":{quoted},"EnvironmentName":"master","TimeStamp":{now * 1000}}}'
    return Sent({"gcms-signature": f"sign={b64(message)}, env=master, t={now * 1000}"}, body.encode())


def _hubspot(now: int) -> Sent:
    message = f"POST{ORIGIN}{TARGET}".encode() + BODY + str(now * 1000).encode()
    return Sent({"x-hubspot-signature-v3": b64(message), "x-hubspot-request-timestamp": str(now * 1000)})


def _linear(now: int) -> Sent:
    body = b'{"webhookTimestamp":%d}' % (now * 1000)
    return Sent({"linear-signature": hexed(body)}, body)


def _mailgun(now: int) -> Sent:
    signature = {"timestamp": str(now), "token": "abc", "signature": hexed(f"{now}abc")}
    return Sent({}, json.dumps({"signature": signature, "event-data": {}}).encode())


def _teams(_: int) -> Sent:
    return Sent({"authorization": f"HMAC {base64.b64encode(mac(BODY, KEY)).decode()}"})


def _orb(now: int) -> Sent:
    time = iso(now).removesuffix("Z")
    return Sent({"x-orb-timestamp": time, "x-orb-signature": "v1=" + hexed(f"v1:{time}:".encode() + BODY)})


def _plivo(_: int) -> Sent:
    message = f"{ORIGIN}/in/coming?a=1&b=two.aeins +bzwei.nonce"
    fields = {"x-plivo-signature-v3": f"AAAA, {b64(message)}", "x-plivo-signature-v3-nonce": "nonce"}
    return Sent(FORM_TYPE | fields, FORM)


def _sendgrid(now: int) -> Sent:
    signature = _ECDSA.sign(str(now).encode() + BODY, ec.ECDSA(hashes.SHA256()))
    public = _ECDSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    fields = {
        "x-twilio-email-event-webhook-signature": base64.b64encode(signature).decode(),
        "x-twilio-email-event-webhook-timestamp": str(now),
    }
    return Sent(fields, secret=base64.b64encode(public).decode())


def _twilio(_: int) -> Sent:
    return Sent(FORM_TYPE | {"x-twilio-signature": b64(f"{ORIGIN}{TARGET}aeins +bzwei", "sha1")}, FORM)


def _vmware(_: int) -> Sent:
    pair = base64.b64encode(b"console:the password").decode()
    return Sent({"authorization": f"Basic {pair}"}, secret="console::the password")


def _zendesk(now: int) -> Sent:
    fields = {"x-zendesk-webhook-signature": b64(iso(now).encode() + BODY)}
    return Sent(fields | {"x-zendesk-webhook-signature-timestamp": iso(now)})


SIGNERS: Mapping[str, Callable[[int], Sent]] = {
    "aftership": in_base64("aftership-hmac-sha256"),
    "airship": timed("x-ua-signature", "", "{t}:", "x-ua-timestamp"),
    "alchemy": plain("x-alchemy-signature"),
    "autodesk": plain("x-adsk-signature", "sha1hash=", "sha1"),
    "bitbucket": plain("x-hub-signature", "sha256="),
    "bolt": in_base64("x-bolt-hmac-sha256"),
    "box": _box,
    "brex": svix("webhook"),
    "buildkite": timed("x-buildkite-signature", "timestamp={t},signature=", "{t}."),
    "calendly": timed("calendly-webhook-signature", "t={t},v1=", "{t}."),
    "castle": in_base64("x-castle-signature"),
    "chargify": plain("x-chargify-webhook-signature-hmac-sha-256"),
    "circleci": plain("circleci-signature", "v1="),
    "clearbit": plain("x-request-signature", "sha1=", "sha1"),
    "clerk": svix("svix"),
    "coinbase": plain("x-cc-webhook-signature"),
    "contentful": _contentful,
    "docusign": in_base64("x-docusign-signature-2"),
    "dropbox": plain("x-dropbox-signature"),
    "facebook_graph_api": plain("x-hub-signature-256", "sha256="),
    "facebook_messenger": plain("x-hub-signature-256", "sha256="),
    "frameio": timed("x-frameio-signature", "v0=", "v0:{t}:", "x-frameio-request-timestamp"),
    "github": plain("x-hub-signature-256", "sha256="),
    "gitlab": lambda _: Sent({"x-gitlab-token": SECRET}),
    "go1": timed("go1-signature", "t={t},v1=", "{t}."),
    "graphcms": _graphcms,
    "heroku": in_base64("heroku-webhook-hmac-sha256"),
    "hostedhooks": timed("hostedhooks-signature", "t={t},s=", "{t}."),
    "hubspot": _hubspot,
    "instagram": plain("x-hub-signature-256", "sha256="),
    "intercom": plain("x-hub-signature", "sha1=", "sha1"),
    "jira": plain("x-hub-signature", "sha256="),
    "launch_darkly": plain("x-ld-signature"),
    "linear": _linear,
    "mailchimp": lambda _: Sent(
        FORM_TYPE | {"x-mandrill-signature": b64(f"{ORIGIN}{TARGET}aeins +bzwei", "sha1")}, FORM
    ),
    "mailgun": _mailgun,
    "microsoft_teams": _teams,
    "modern_treasury": plain("x-signature"),
    "mongodb": in_base64("x-mms-signature", digest="sha1"),
    "mux": timed("mux-signature", "t={t},v1=", "{t}."),
    "orb": _orb,
    "orbit": plain("x-orbit-signature", "sha256="),
    "pagerduty": plain("x-pagerduty-signature", "v1=00,v1="),
    "pinwheel": timed("x-pinwheel-signature", "v2=", "v2:{t}:", "x-timestamp"),
    "plivo": _plivo,
    "pusher": plain("x-pusher-signature"),
    "sendgrid": _sendgrid,
    "sentry": plain("sentry-hook-signature"),
    "shopify": in_base64("x-shopify-hmac-sha256"),
    "signal_sciences": plain("x-sigsci-signature"),
    "slack": timed("x-slack-signature", "v0=", "v0:{t}:", "x-slack-request-timestamp"),
    "sonatype": plain("x-nexus-webhook-signature", digest="sha1"),
    "square": lambda _: Sent({"x-square-hmacsha256-signature": b64(f"{ORIGIN}{TARGET}".encode() + BODY)}),
    "stripe": timed("stripe-signature", "t={t},v1=00,v0=11,v1=", "{t}."),
    "svix": svix("svix"),
    "terraform": plain("x-tfe-notification-signature", digest="sha512"),
    "tiktok": timed("tiktok-signature", "t={t},s=", "{t}."),
    "trendmicro_conformity": plain("x-trendmicro-signature"),
    "twilio": _twilio,
    "twitter": in_base64("x-twitter-webhooks-signature", "sha256="),
    "typeform": in_base64("typeform-signature", "sha256="),
    "vmware": _vmware,
    "webex": plain("x-spark-signature", digest="sha1"),
    "whatsapp": plain("x-hub-signature-256", "sha256="),
    "worldline": in_base64("x-gcs-signature"),
    "xero": in_base64("x-xero-signature"),
    "zendesk": _zendesk,
    "zoom": timed("x-zm-signature", "v0=", "v0:{t}:", "x-zm-request-timestamp"),
}


def digest_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
