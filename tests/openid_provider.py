"""An OpenID provider as a small ASGI app: it signs in whoever comes, and is strict about the rest."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.issuers import OTHER_RSA_KEY, RSA_KEY, rsa_jwk, signed

CLIENT_ID = "gateway-client"
CLIENT_SECRET = "a-secret-of-the-client-0123456789"


class OpenIDProvider:
    """Its attributes say how it behaves; `issuer` is set once its port is known."""

    def __init__(self) -> None:
        self.issuer = ""
        self.claims: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {"sub": "user-1", "email": "ada@example.com", "name": "Ada"}
        self.key = RSA_KEY
        self.algorithm = "RS256"
        self.error = ""
        self.lifetime = 3_600
        self.padding = ""
        self.down = False
        self.codes: dict[str, dict[str, str]] = {}
        self.refresh_tokens: set[str] = set()
        self.asked: list[str] = []
        self.authorizations: list[dict[str, str]] = []
        self.app = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._discovery),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/userinfo", self._userinfo),
                Route("/jwks", self._jwks),
            ]
        )

    def count(self, path: str) -> int:
        return self.asked.count(path)

    async def _discovery(self, request: Request) -> Response:
        self.asked.append("discovery")
        return self._answer(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "userinfo_endpoint": f"{self.issuer}/userinfo",
                "jwks_uri": f"{self.issuer}/jwks",
                "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            }
        )

    async def _authorize(self, request: Request) -> Response:
        """As if a person had signed in."""
        asked = dict(request.query_params)
        self.authorizations.append(asked)
        back = {"state": asked["state"]}
        if self.error:
            back["error"] = self.error
        else:
            back["code"] = secrets.token_urlsafe()
            self.codes[back["code"]] = asked
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(back)}", 302)

    async def _token(self, request: Request) -> Response:
        self.asked.append("token")
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        expected = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if self.down:
            return Response(status_code=503)
        if request.headers.get("authorization") != f"Basic {expected}":
            return JSONResponse({"error": "invalid_client"}, 401)
        if form["grant_type"] == "refresh_token":
            if form["refresh_token"] not in self.refresh_tokens:
                return JSONResponse({"error": "invalid_grant"}, 400)
            self.refresh_tokens.discard(form["refresh_token"])  # good for one time
            return self._tokens("")
        asked = self.codes.pop(form["code"], None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode()
        if (
            asked is None
            or asked["redirect_uri"] != form["redirect_uri"]
            or asked["code_challenge_method"] != "S256"
            or asked["code_challenge"] != challenge.rstrip("=")
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        return self._tokens(asked["nonce"])

    def _tokens(self, nonce: str) -> Response:
        now = time.time()
        said = {"iss": self.issuer, "aud": CLIENT_ID, "sub": "user-1", "exp": now + 300, "iat": now, "nonce": nonce}
        said |= self.claims
        head = {"alg": self.algorithm, "kid": "k1", "typ": "JWT"}
        refresh = secrets.token_urlsafe()
        self.refresh_tokens.add(refresh)
        return JSONResponse(
            {
                "access_token": f"access-{secrets.token_urlsafe()}{self.padding}",
                "token_type": "Bearer",
                "expires_in": self.lifetime,
                "refresh_token": refresh,
                "id_token": signed(head, {name: value for name, value in said.items() if value is not None}, self.key),
            }
        )

    async def _userinfo(self, request: Request) -> Response:
        self.asked.append("userinfo")
        if not request.headers.get("authorization", "").startswith("Bearer access-"):
            return Response(status_code=401)
        return self._answer(self.userinfo)

    async def _jwks(self, request: Request) -> Response:
        self.asked.append("jwks")
        return self._answer({"keys": [rsa_jwk(RSA_KEY)]})

    def _answer(self, content: Any) -> Response:
        return Response(status_code=503) if self.down else JSONResponse(content)


STRANGER = OTHER_RSA_KEY
