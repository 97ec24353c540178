"""Tokens that others signed (JWS, RFC 7515; JWT, RFC 7519), and the keys to check them with. Needs joserfc."""

from ai_gateway_mw.jose.claims import Expected, check_claims
from ai_gateway_mw.jose.jwks import JWKS, KeysUnavailable
from ai_gateway_mw.jose.keys import ALGORITHMS, SYMMETRIC, KeySet, VerifyKey
from ai_gateway_mw.jose.token import BadToken, Token, is_signed_by, parsed

__all__ = [
    "ALGORITHMS",
    "JWKS",
    "SYMMETRIC",
    "BadToken",
    "Expected",
    "KeySet",
    "KeysUnavailable",
    "Token",
    "VerifyKey",
    "check_claims",
    "is_signed_by",
    "parsed",
]
