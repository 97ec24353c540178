"""X.509 certificates (RFC 5280) as `conn.tls` shows them. Reading one needs the package `cryptography`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ai_gateway_mw.cel import Timestamp

if TYPE_CHECKING:
    from cryptography import x509

_LONGEST = 64 * 1024
_NEVER = Timestamp(Timestamp.LOWEST)


@dataclass(frozen=True, slots=True)
class NameFacts:
    """A distinguished name: as text (RFC 4514, which took over from RFC 2253), and by its parts."""

    text: str = ""
    common_name: str = ""
    country: Sequence[str] = ()
    locality: Sequence[str] = ()
    organization: Sequence[str] = ()
    organizational_unit: Sequence[str] = ()
    postal_code: Sequence[str] = ()
    province: Sequence[str] = ()
    street_address: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says; without one everything is empty, and it was never valid."""

    pem: str = ""
    subject: NameFacts = NameFacts()
    issuer: NameFacts = NameFacts()
    serial_number: str = ""
    signature_algorithm: str = ""
    not_before: Timestamp = _NEVER
    not_after: Timestamp = _NEVER
    extensions: Sequence[Mapping[str, Any]] = ()
    san: str = ""
    dns_names: Sequence[str] = ()
    email_addresses: Sequence[str] = ()
    ip_addresses: Sequence[str] = ()
    uris: Sequence[str] = ()


_NONE = Certificate()


def without_certificates() -> bool:
    """Whether certificates cannot be read here, for want of the package."""
    return find_spec("cryptography") is None


@lru_cache(maxsize=256)
def certificate(pem: str) -> Certificate:
    """The facts of the first certificate in a PEM text; of what is none, and without the package, nothing."""
    if not pem or len(pem) > _LONGEST or without_certificates():
        return _NONE
    from cryptography import x509  # noqa: PLC0415 - only for those who ask

    try:
        return _facts(x509.load_pem_x509_certificate(pem.encode("latin-1")))
    except Exception:  # noqa: BLE001 - parts are parsed as they are read, and each fault has a class of its own
        return _NONE


def _facts(found: x509.Certificate) -> Certificate:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    names = _alternative_names(found)
    return Certificate(
        pem=found.public_bytes(Encoding.PEM).decode(),
        subject=_name(found.subject),
        issuer=_name(found.issuer),
        serial_number=f"{found.serial_number:x}",
        signature_algorithm=_signature(found),
        not_before=Timestamp.of(found.not_valid_before_utc),
        not_after=Timestamp.of(found.not_valid_after_utc),
        extensions=[_extension(each) for each in found.extensions],
        **names,
    )


def _name(name: x509.Name) -> NameFacts:
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    def values(oid: Any) -> list[str]:
        return [_text(each.value) for each in name.get_attributes_for_oid(oid)]

    return NameFacts(
        name.rfc4514_string(),
        next(iter(values(NameOID.COMMON_NAME)), ""),
        values(NameOID.COUNTRY_NAME),
        values(NameOID.LOCALITY_NAME),
        values(NameOID.ORGANIZATION_NAME),
        values(NameOID.ORGANIZATIONAL_UNIT_NAME),
        values(NameOID.POSTAL_CODE),
        values(NameOID.STATE_OR_PROVINCE_NAME),
        values(NameOID.STREET_ADDRESS),
    )


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _signature(found: x509.Certificate) -> str:
    """As Go's crypto/x509 calls it: `SHA256-RSA`, `ECDSA-SHA256`, `Ed25519`."""
    from cryptography.x509.oid import SignatureAlgorithmOID  # noqa: PLC0415

    hashed, oid = found.signature_hash_algorithm, found.signature_algorithm_oid
    if oid == SignatureAlgorithmOID.ED25519 or hashed is None:
        return "Ed25519" if oid == SignatureAlgorithmOID.ED25519 else oid.dotted_string
    digest = hashed.name.upper().replace("-", "")
    if oid == SignatureAlgorithmOID.RSASSA_PSS:
        return f"{digest}-RSAPSS"
    words: str = getattr(oid, "_name", "")
    if "ecdsa" in words:
        return f"ECDSA-{digest}"
    return f"DSA-{digest}" if "dsa" in words else f"{digest}-RSA"


def _extension(extension: x509.Extension[Any]) -> dict[str, Any]:
    try:
        value = extension.value.public_bytes()
    except NotImplementedError:
        value = b""
    return {"id": extension.oid.dotted_string, "critical": extension.critical, "value": value}


def _alternative_names(found: x509.Certificate) -> dict[str, Any]:
    from cryptography import x509  # noqa: PLC0415

    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return {}
    dns = names.get_values_for_type(x509.DNSName)
    emails = names.get_values_for_type(x509.RFC822Name)
    addresses = list(map(str, names.get_values_for_type(x509.IPAddress)))
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    kinds = (("DNS", dns), ("email", emails), ("IP Address", addresses), ("URI", uris))
    shown = ", ".join(f"{kind}:{value}" for kind, values in kinds for value in values)
    return {"san": shown, "dns_names": dns, "email_addresses": emails, "ip_addresses": addresses, "uris": uris}
