"""Databases of MaxMind's format (`.mmdb`): GeoLite2 and GeoIP2 City, Country and ASN, and others with their fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ai_gateway_mw.addresses import Address
from ai_gateway_mw.errors import PolicyError, Problem
from ai_gateway_mw.facts.addresses import Listed


class Database:
    """One open database; it stays in memory, so that no file is kept open."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def entries(self, address: Address) -> Iterator[Listed]:
        try:
            record = self._reader.get(address)
        except ValueError:  # an IPv6 address in a database of IPv4
            return
        if isinstance(record, Mapping):
            yield _listed(record)


def load(path: Path) -> Database:
    """The database in a file. Raises `PolicyError`, also where `maxminddb` is not installed."""
    try:
        import maxminddb  # noqa: PLC0415 - an extra
    except ImportError:
        message = f"{path}: maxminddb is not installed; do: pip install 'ai-gateway-mw[geoip]'"
        raise PolicyError([Problem(message)]) from None
    try:
        return Database(maxminddb.open_database(str(path), maxminddb.MODE_MEMORY))
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PolicyError([Problem(f"{path}: cannot be read: {reason}")]) from None


def _listed(record: Mapping[str, Any]) -> Listed:
    number = record.get("autonomous_system_number")
    traits = record.get("traits") or {}
    tor = traits.get("is_tor_exit_node") or record.get("is_tor_exit_node")
    return Listed(
        ["proxy.anonymous.tor"] if tor else [],
        None,
        number if isinstance(number, int) else traits.get("autonomous_system_number"),
        record.get("autonomous_system_organization") or traits.get("autonomous_system_organization"),
        _location(record, "country"),
        _place(record.get("registered_country") or {}),
    )


def _location(record: Mapping[str, Any], country: str) -> dict[str, Any]:
    place, where = _place(record.get(country) or {}), record.get("location") or {}
    subdivisions = record.get("subdivisions") or [{}]
    found = {
        "city": _named(record.get("city")),
        "continent": _named(record.get("continent")),
        "latitude": _text(where.get("latitude")),
        "longitude": _text(where.get("longitude")),
        "metro_code": _text(where.get("metro_code")),
        "postal_code": _text((record.get("postal") or {}).get("code")),
        "radius": _text(where.get("accuracy_radius")),
        "subdivision": _named(subdivisions[0]),
        "timezone": _text(where.get("time_zone")),
    }
    return {name: value for name, value in (found | place).items() if value}


def _place(country: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        "country": _named(country),
        "country_code": _text(country.get("iso_code")),
        "is_eu": bool(country.get("is_in_european_union")),
    }
    return found if found["country_code"] else {}


def _named(place: Any) -> str:
    return _text((place.get("names") or {}).get("en")) if isinstance(place, Mapping) else ""


def _text(value: Any) -> str:
    return "" if value is None else str(value)
