"""Signing people in at an identity provider (OAuth 2.0, RFC 6749 and 9700; OpenID Connect), and the sessions that
follow. All that is remembered of a person stands, sealed, in their own cookies. Needs joserfc."""

from ai_gateway_mw.login.cookies import Jar
from ai_gateway_mw.login.discovery import DiscoveredProvider, Discovery
from ai_gateway_mw.login.flow import Login
from ai_gateway_mw.login.provider import Client, Endpoints, Identity, NamedProvider, Provider, Tokens
from ai_gateway_mw.login.session import Session, identity_of
from ai_gateway_mw.login.sessions import Outcome
from ai_gateway_mw.login.settings import LoginSettings
from ai_gateway_mw.login.visit import CALLBACK, LOGIN, LOGOUT

__all__ = [
    "CALLBACK",
    "LOGIN",
    "LOGOUT",
    "Client",
    "DiscoveredProvider",
    "Discovery",
    "Endpoints",
    "Identity",
    "Jar",
    "Login",
    "LoginSettings",
    "NamedProvider",
    "Outcome",
    "Provider",
    "Session",
    "Tokens",
    "identity_of",
]
