"""Who signs how: one row for each provider, after the provider's own documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ai_gateway_mw.webhooks.delivery import FIVE_MINUTES, Delivery, Scheme, Unverified
from ai_gateway_mw.webhooks.peculiar import (
    contentful,
    graphcms,
    hubspot,
    linear,
    mailgun,
    plivo_v2,
    plivo_v3,
    sendgrid,
    twilio,
    vmware,
)
from ai_gateway_mw.webhooks.schemes import (
    BODY,
    SORTED_FORM,
    TIME,
    URL,
    base64_key,
    first_present,
    signed,
    standard,
    token,
)

WITHOUT_SECRET: Final = frozenset({"sns"})
WITH_CERTIFICATES: Final = frozenset({"sendgrid", "sns"})  # these need the package `cryptography`


def _needs_more(delivery: Delivery, secret: str, now: float) -> None:
    raise Unverified("this scheme asks for a certificate")


_META = signed("x-hub-signature-256", prefix="sha256=")
_DOTTED = {"message": (TIME, b".", BODY), "item": "v1", "time": ".t"}

PROVIDERS: Final[Mapping[str, Scheme]] = {
    "aftership": signed("aftership-hmac-sha256", encoding="base64"),
    "airship": signed("x-ua-signature", message=(TIME, b":", BODY), time="x-ua-timestamp"),
    "alchemy": signed("x-alchemy-signature"),
    "autodesk": signed("x-adsk-signature", digest="sha1", prefix="sha1hash="),
    "bitbucket": signed("x-hub-signature", prefix="sha256="),
    "bolt": signed("x-bolt-hmac-sha256", encoding="base64"),
    "box": signed(
        "box-signature-primary",
        "box-signature-secondary",
        message=(BODY, TIME),
        encoding="base64",
        time="box-delivery-timestamp",
        tolerance=600.0,
    ),
    "brex": standard("webhook"),
    "buildkite": first_present(
        x_buildkite_signature=signed(
            "x-buildkite-signature", message=(TIME, b".", BODY), item="signature", time=".timestamp"
        ),
        x_buildkite_token=token("x-buildkite-token"),
    ),
    "calendly": signed("calendly-webhook-signature", **_DOTTED),
    "castle": signed("x-castle-signature", encoding="base64"),
    "chargify": signed("x-chargify-webhook-signature-hmac-sha-256"),
    "circleci": signed("circleci-signature", item="v1"),
    "clearbit": signed("x-request-signature", digest="sha1", prefix="sha1="),
    "clerk": standard("svix"),
    "coinbase": signed("x-cc-webhook-signature"),
    "contentful": contentful,
    "docusign": signed(*(f"x-docusign-signature-{number}" for number in range(1, 101)), encoding="base64"),
    "dropbox": signed("x-dropbox-signature"),
    "facebook_graph_api": _META,
    "facebook_messenger": _META,
    "frameio": signed(
        "x-frameio-signature",
        message=(b"v0:", TIME, b":", BODY),
        prefix="v0=",
        time="x-frameio-request-timestamp",
        tolerance=FIVE_MINUTES,
    ),
    "github": _META,
    "gitlab": token("x-gitlab-token"),
    "go1": signed("go1-signature", **_DOTTED),
    "graphcms": graphcms,
    "heroku": signed("heroku-webhook-hmac-sha256", encoding="base64"),
    "hostedhooks": signed("hostedhooks-signature", message=(TIME, b".", BODY), item="s", time=".t"),
    "hubspot": hubspot,
    "instagram": _META,
    "intercom": signed("x-hub-signature", digest="sha1", prefix="sha1="),
    "jira": signed("x-hub-signature", prefix="sha256="),
    "launch_darkly": signed("x-ld-signature"),
    "linear": linear,
    "mailchimp": signed("x-mandrill-signature", message=(URL, SORTED_FORM), digest="sha1", encoding="base64"),
    "mailgun": mailgun,
    "microsoft_teams": signed("authorization", encoding="base64", prefix="HMAC ", key=base64_key),
    "modern_treasury": signed("x-signature"),
    "mongodb": signed("x-mms-signature", digest="sha1", encoding="base64"),
    "mux": signed("mux-signature", **_DOTTED, tolerance=FIVE_MINUTES),
    "orb": signed("x-orb-signature", message=(b"v1:", TIME, b":", BODY), item="v1", time="x-orb-timestamp"),
    "orbit": signed("x-orbit-signature", prefix="sha256=", prefix_optional=True),
    "pagerduty": signed("x-pagerduty-signature", item="v1"),
    "pinwheel": signed("x-pinwheel-signature", message=(b"v2:", TIME, b":", BODY), prefix="v2=", time="x-timestamp"),
    "plivo": first_present(x_plivo_signature_v3=plivo_v3, x_plivo_signature_v2=plivo_v2),
    "pusher": signed("x-pusher-signature"),
    "sendgrid": sendgrid,
    "sentry": signed("sentry-hook-signature"),
    "shopify": signed("x-shopify-hmac-sha256", encoding="base64"),
    "signal_sciences": signed("x-sigsci-signature", prefix="sha256=", prefix_optional=True),
    "slack": signed(
        "x-slack-signature",
        message=(b"v0:", TIME, b":", BODY),
        prefix="v0=",
        time="x-slack-request-timestamp",
        tolerance=FIVE_MINUTES,
    ),
    "sns": _needs_more,
    "sonatype": signed("x-nexus-webhook-signature", digest="sha1"),
    "square": signed("x-square-hmacsha256-signature", message=(URL, BODY), encoding="base64"),
    "stripe": signed("stripe-signature", **_DOTTED, tolerance=FIVE_MINUTES),
    "svix": standard("svix"),
    "terraform": signed("x-tfe-notification-signature", digest="sha512"),
    "tiktok": signed("tiktok-signature", message=(TIME, b".", BODY), item="s", time=".t"),
    "trendmicro_conformity": signed("x-trendmicro-signature", prefix="sha256=", prefix_optional=True),
    "twilio": twilio,
    "twitter": signed("x-twitter-webhooks-signature", encoding="base64", prefix="sha256="),
    "typeform": signed("typeform-signature", encoding="base64", prefix="sha256="),
    "vmware": vmware,
    "webex": signed("x-spark-signature", digest="sha1"),
    "whatsapp": _META,
    "worldline": signed("x-gcs-signature", encoding="base64"),
    "xero": signed("x-xero-signature", encoding="base64"),
    "zendesk": signed(
        "x-zendesk-webhook-signature",
        message=(TIME, BODY),
        encoding="base64",
        time="x-zendesk-webhook-signature-timestamp",
    ),
    "zoom": signed(
        "x-zm-signature",
        message=(b"v0:", TIME, b":", BODY),
        prefix="v0=",
        time="x-zm-request-timestamp",
        tolerance=FIVE_MINUTES,
    ),
}
