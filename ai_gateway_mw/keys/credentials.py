"""The client's credential: where it may stand in a request, and the refusal of a request that brings two."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from ai_gateway_mw.errors import AmbiguousCredentials, BadRequest
from ai_gateway_mw.headers import CREDENTIAL_FIELDS, Fields
from ai_gateway_mw.keys.token import PREFIX
from ai_gateway_mw.secrets import Secret

_AUTHORIZATION: Final = b"authorization"
_BEARER: Final = b"bearer "
_QUERY_PARAMETER: Final = "key"  # Gemini's other way
_MAX_PARAMETERS: Final = 1_000
_ALONE: Final = {name: (f"client/{name.decode()}", frozenset([name])) for name in CREDENTIAL_FIELDS}


class ClientCredential(NamedTuple):
    """What the client presented, and where: `fields` (lower case) and the query must not go upstream as they are."""

    secret: Secret
    fields: frozenset[bytes]
    in_query: bool = False

    @property
    def is_gateway_key(self) -> bool:
        """Whether it is meant for us, valid or not and whatever stands around it: such a value never goes upstream."""
        return PREFIX in self.secret.reveal()


def presented_credentials(fields: Fields, query_string: bytes = b"") -> ClientCredential | None:
    """The one credential of a request, or None. Basic (RFC 7617) and other schemes than Bearer are not one.

    `query_string` is for paths whose API takes a key there. Raises `AmbiguousCredentials` for two that differ, be it
    in two fields or in one that is there twice: checker and provider might each believe another.
    """
    names = CREDENTIAL_FIELDS.intersection(fields.first)
    if len(names) < 2 and not (fields.repeated or query_string):
        return _only(fields, *names) if names else None
    found = [(name, value.strip()) for name, value in fields if name in CREDENTIAL_FIELDS]
    if len({value for name, value in found if name == _AUTHORIZATION}) > 1:
        raise AmbiguousCredentials("The request has two different Authorization fields.")
    found = [(name, _bearer(value) if name == _AUTHORIZATION else value) for name, value in found]
    in_query = _keys_of(query_string)
    values = {value for _, value in found if value} | in_query
    if len(values) > 1:
        where = [*dict.fromkeys(name.decode() for name, value in found if value), *(["the query"] if in_query else ())]
        raise AmbiguousCredentials(f"The request has two different credentials, in {' and '.join(where)}.")
    if not values:
        return None
    places = frozenset(name for name, value in found if value)
    place = _QUERY_PARAMETER if in_query else b",".join(sorted(places)).decode()
    return ClientCredential(Secret(values.pop().decode("latin-1"), f"client/{place}"), places, bool(in_query))


def _only(fields: Fields, name: bytes) -> ClientCredential | None:
    value = fields.first[name].strip()
    if name == _AUTHORIZATION:
        value = _bearer(value)
    if not value:
        return None
    place, alone = _ALONE[name]
    return ClientCredential(Secret(value.decode("latin-1"), place), alone)


def _bearer(value: bytes) -> bytes:
    """The token of `Bearer <token>` (RFC 6750 2.1; schemes are case-insensitive), empty for any other scheme."""
    return value[7:].strip() if value[:7].lower() == _BEARER else b""


def _keys_of(query_string: bytes) -> set[bytes]:
    if not query_string:
        return set()
    try:
        pairs = parse_qsl(query_string.decode("latin-1"), encoding="latin-1", max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise BadRequest("The request has too many query parameters.") from None
    return {value.encode("latin-1") for name, value in pairs if name == _QUERY_PARAMETER}
