"""Values of settings: read from the text of a variable or from what an argument gives, and shown as text again.

What is wrong with one is a ValueError; which settings there are, and where each came from, is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, ValidationInfo

from ai_gateway_mw.addresses import Network, parse_network
from ai_gateway_mw.errors import SecretError, closest
from ai_gateway_mw.facts import FORWARDED, IPPolicies, IPPolicy
from ai_gateway_mw.headers import field_name
from ai_gateway_mw.hosts import (
    HostAddress,
    host_address,
    host_name,
    host_pair,
    internal_name,
    internal_pair,
    internal_url,
)
from ai_gateway_mw.policy import long_seconds, long_text
from ai_gateway_mw.secrets import SOURCES, Secret, usable
from ai_gateway_mw.settings.names import variable_of


def _items(value: Any) -> Any:
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


def _networks(value: Any) -> Any:
    items = _items(value)
    if not isinstance(items, list | tuple):
        return items
    return tuple(parse_network(item) if isinstance(item, str) else item for item in items)


def _hosts(value: Any) -> Any:
    if isinstance(value, str):
        value = dict(host_pair(item) for item in _items(value))
    if not isinstance(value, Mapping):
        return value
    return {host_name(name): host_address(to) if isinstance(to, str) else to for name, to in value.items()}


def _internal(value: Any) -> Any:
    if isinstance(value, str):
        value = dict(internal_pair(item) for item in _items(value))
    if not isinstance(value, Mapping):
        return value
    return {internal_name(name): internal_url(to) if isinstance(to, str) else to for name, to in value.items()}


def _ip_policies(value: Any) -> Any:
    """As text, or ranges by ids, of which each may be a list or as in the text."""
    items = _items(value)
    if isinstance(items, Mapping):
        return IPPolicies({name: _ip_policy(ranges) for name, ranges in items.items()})
    return IPPolicies.of(items) if isinstance(items, list | tuple) and all(isinstance(i, str) for i in items) else items


def _ip_policy(ranges: Any) -> Any:
    listed = ranges.split() if isinstance(ranges, str) else ranges
    if isinstance(listed, IPPolicy):
        return listed
    if not isinstance(listed, list | tuple) or not all(isinstance(text, str) for text in listed):
        raise ValueError("an IP policy is a list of CIDR ranges")
    return IPPolicy.of(listed)


def _paths(value: Any) -> Any:
    items = _items(value)
    if isinstance(items, Path):
        return (items.expanduser(),)
    return tuple(Path(item).expanduser() for item in items) if isinstance(items, list | tuple) else items


def _tls_fields(value: Any) -> Any:
    if isinstance(value, str):
        pairs = [item.partition("=") for item in _items(value)]
        value = {name.strip(): field.strip() for name, _, field in pairs}
    if not isinstance(value, Mapping):
        return value
    for name, field in value.items():
        if name not in FORWARDED:
            hint = closest(name, FORWARDED)
            raise ValueError(
                f"`{name}` is nothing that a proxy tells of TLS; "
                + (f"did you mean `{hint}`?" if hint else f"there are {', '.join(FORWARDED)}")
            )
        field_name(field)
    return dict(value)


def _known_sources(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in SOURCES:
            hint = closest(name, SOURCES)
            raise ValueError(
                f"`{name}` is no source of secrets; "
                + (f"did you mean `{hint}`?" if hint else f"there are {', '.join(SOURCES)}")
            )
    return names


def _duration(value: Any) -> Any:
    """As in a policy (`1m30s`), a number of days (`90d`), or a plain number of seconds."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return long_seconds(value)


def _hidden(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return usable(value, f"settings/{info.field_name}", variable_of(str(info.field_name)))
    except SecretError as error:
        fault = str(error)
    raise ValueError(fault)


Location = Annotated[Path, AfterValidator(Path.expanduser)]
Locations = Annotated[tuple[Path, ...], BeforeValidator(_paths)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(_networks)]
Hosts = Annotated[Mapping[str, HostAddress], BeforeValidator(_hosts)]
InternalURLs = Annotated[Mapping[str, str], BeforeValidator(_internal)]
NamedRanges = Annotated[IPPolicies, BeforeValidator(_ip_policies)]
TLSFields = Annotated[Mapping[str, str], BeforeValidator(_tls_fields)]
SecretSources = Annotated[tuple[str, ...], BeforeValidator(_items), AfterValidator(_known_sources)]
Hidden = Annotated[Secret | None, BeforeValidator(_hidden)]
Seconds = Annotated[float, BeforeValidator(_duration), Field(gt=0, allow_inf_nan=False)]
SecondsOrZero = Annotated[float, BeforeValidator(_duration), Field(ge=0, allow_inf_nan=False)]


def shown(value: Any) -> str:
    """As a variable would have it; a secret as `***`."""
    match value:
        case None:
            return ""
        case Secret():
            return "***"
        case Mapping():
            return ",".join(f"{name}={each}" for name, each in value.items())
        case tuple():
            return ",".join(map(str, value))
        case float():
            return long_text(value)
        case ByteSize():
            return value.human_readable()
    return str(value)
