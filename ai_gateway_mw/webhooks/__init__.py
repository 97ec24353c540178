"""Webhooks: how each provider signs what it delivers, and what it asks of an endpoint before it does."""

from ai_gateway_mw.webhooks.challenges import CHALLENGES, Challenge
from ai_gateway_mw.webhooks.delivery import Delivery, Scheme, Unverified
from ai_gateway_mw.webhooks.providers import PROVIDERS, WITH_CERTIFICATES, WITHOUT_SECRET
from ai_gateway_mw.webhooks.sns import verify_sns

__all__ = [
    "CHALLENGES",
    "PROVIDERS",
    "WITHOUT_SECRET",
    "WITH_CERTIFICATES",
    "Challenge",
    "Delivery",
    "Scheme",
    "Unverified",
    "verify_sns",
]
