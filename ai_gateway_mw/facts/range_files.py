"""Files of ranges, in YAML, JSON or CSV -> what they say of addresses."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import Field, field_validator

from ai_gateway_mw.addresses import Network, parse_network
from ai_gateway_mw.errors import Place, PolicyError, Problem, closest
from ai_gateway_mw.facts.addresses import LOCATION, REGISTERED, Listed, RangesFile
from ai_gateway_mw.policy import ActionConfig, load_data

_COLUMNS: Final = ("cidr", "categories", "is_on_blocklist", "as_number", "as_organization", *LOCATION, "is_eu")
_TRUE, _FALSE = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no", ""})


class _Registered(ActionConfig):
    """Where an address is registered."""

    city: str = ""
    continent: str = ""
    country: str = ""
    country_code: str = ""
    metro_code: str = ""
    subdivision: str = ""
    timezone: str = ""
    is_eu: bool = False


class _Location(_Registered):
    """Where an address is."""

    latitude: str = ""
    longitude: str = ""
    postal_code: str = ""
    radius: str = ""


class _System(ActionConfig):
    """The autonomous system of an address."""

    number: int = Field(ge=0, lt=2**32)
    organization: str = ""


class _Entry(ActionConfig):
    """What is known of some ranges."""

    cidrs: tuple[str, ...] = Field(min_length=1)
    categories: tuple[str, ...] = ()
    is_on_blocklist: bool | None = None
    as_: _System | None = Field(None, alias="as")
    location: _Location | None = None
    registered_location: _Registered | None = None

    @field_validator("cidrs")
    @classmethod
    def _are_ranges(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            parse_network(each)
        return value

    @property
    def listed(self) -> Listed:
        return Listed(
            self.categories,
            self.is_on_blocklist,
            self.as_.number if self.as_ else None,
            self.as_.organization if self.as_ else None,
            self.location.model_dump() if self.location else {},
            self.registered_location.model_dump() if self.registered_location else {},
        )


class _File(ActionConfig):
    """A whole file."""

    ranges: tuple[_Entry, ...] = ()


def load_yaml(path: Path) -> RangesFile:
    """A YAML or JSON file: `ranges`, a list of entries with `cidrs`. Raises `PolicyError`."""
    ranges = load_data(path, _File).ranges
    return RangesFile((parse_network(cidr), entry.listed) for entry in ranges for cidr in entry.cidrs)


def load_csv(path: Path) -> RangesFile:
    """A CSV file with a line of headings: `cidr`, and what is known; categories are separated by spaces or `;`. Raises
    `PolicyError` with every line that cannot be read."""
    problems: list[Problem] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            made = list(_lines(path, csv.DictReader(file), problems))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise PolicyError([Problem(f"{path}: cannot be read: {reason}")]) from None
    if problems:
        raise PolicyError(problems[:100])
    return RangesFile(made)


def _lines(path: Path, reader: csv.DictReader[str], problems: list[Problem]) -> Iterator[tuple[Network, Listed]]:
    unknown = [name for name in reader.fieldnames or ["no headings"] if name not in _COLUMNS]
    top = Place(str(path), 1, 1)
    problems.extend(Problem(f"unknown column `{name}`", top, closest(name, _COLUMNS)) for name in unknown)
    if problems:
        return
    for row in reader:
        try:
            yield parse_network((row["cidr"] or "").strip()), _of_row(row)
        except (ValueError, KeyError) as error:
            reason = "the column `cidr` is missing" if isinstance(error, KeyError) else str(error)
            problems.append(Problem(reason, Place(str(path), reader.line_num, 1)))


def _of_row(row: Mapping[str, Any]) -> Listed:
    cells = {name: (value or "").strip() for name, value in row.items() if name}
    location = {name: cells[name] for name in LOCATION if cells.get(name)}
    if eu := _flag(cells.get("is_eu", "")):
        location["is_eu"] = eu
    return Listed(
        cells.get("categories", "").replace(";", " ").split(),
        _flag(cells["is_on_blocklist"]) if cells.get("is_on_blocklist") else None,
        _number(cells["as_number"]) if cells.get("as_number") else None,
        cells.get("as_organization") or None,
        location,
        {name: value for name, value in location.items() if name in (*REGISTERED, "is_eu")},
    )


def _flag(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise ValueError(f"`{text}` is neither true nor false")
    return text.lower() in _TRUE


def _number(text: str) -> int:
    digits = text.upper().removeprefix("AS")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 11):
        raise ValueError(f"`{text}` is no number of an autonomous system")
    return int(digits)
