"""Settings of the process: from keyword arguments, `AI_GATEWAY_*` variables and a `.env` file, in this order.

The policy is not here. The only module that imports pydantic-settings.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, PrivateAttr, ValidationError, ValidationInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from ai_gateway_mw.addresses import Network, parse_network
from ai_gateway_mw.errors import Problem, SecretError, closest
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
from ai_gateway_mw.secrets import SOURCES, VARIABLE_PREFIX, Secret, usable

PREFIX: Final = "AI_GATEWAY_"
_ENV_FILE: Final = ".env"
_LONG_TOKEN: Final = 16


class SettingsError(ValueError):
    """Settings that cannot be used; `problems` names them all and shows no secret."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Described(NamedTuple):
    """One setting as `doctor` shows it."""

    name: str
    shown: str
    source: str


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
        return usable(value, f"settings/{info.field_name}", f"{PREFIX}{info.field_name}".upper())
    except SecretError as error:
        fault = str(error)
    raise ValueError(fault)


_Location = Annotated[Path, AfterValidator(Path.expanduser)]
_Networks = Annotated[tuple[Network, ...], BeforeValidator(_networks)]
_Hosts = Annotated[Mapping[str, HostAddress], BeforeValidator(_hosts)]
_Internal = Annotated[Mapping[str, str], BeforeValidator(_internal)]
_IPPolicies = Annotated[IPPolicies, BeforeValidator(_ip_policies)]
_Paths = Annotated[tuple[Path, ...], BeforeValidator(_paths)]
_TLSFields = Annotated[Mapping[str, str], BeforeValidator(_tls_fields)]
_Sources = Annotated[tuple[str, ...], BeforeValidator(_items), AfterValidator(_known_sources)]
_Hidden = Annotated[Secret | None, BeforeValidator(_hidden)]
_Seconds = Annotated[float, BeforeValidator(_duration), Field(gt=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """What one process needs to know beside its policy. Raises `SettingsError` with everything that is wrong."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,  # what a compose file hands on from an unset variable counts as unset
        enable_decoding=False,  # lists are `a,b`, not JSON
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    data_dir: _Location = Field(
        Path(".ai-gateway"), description="Directory for what is stored; made when something needs storing."
    )
    database_url: _Hidden = Field(
        None,
        description="Database of keys, usage and audit as a SQLAlchemy URL; default: SQLite in the data directory.",
    )
    master_key: _Hidden = Field(
        None,
        description="Key that seals stored secrets: 32 bytes in base64 or hexadecimal, or a passphrase of at least 16 "
        "characters; default: the file master.key in the data directory, made when something needs it.",
    )
    key_rotation: Annotated[float, BeforeValidator(_duration), Field(ge=0, allow_inf_nan=False)] = Field(
        90 * 24 * 3600.0, description="Age at which gateway keys are due for rotation, such as 90d; 0 for never."
    )
    admin_token: _Hidden = Field(
        None, description="Bearer token of the admin plane, or its argon2id hash; without one there is none."
    )
    audit_requests: Literal["off", "strict", "best-effort"] = Field(
        "off",
        description="Whether each request is written to the audit log before it goes to a provider; strict: none goes "
        "that cannot be written, best-effort: it goes on, and is written as soon as that can be.",
    )
    trusted_proxies: _Networks = Field(
        (), description="CIDR ranges of proxies whose X-Forwarded-For or Forwarded is believed, separated by commas."
    )
    tls_fields: _TLSFields = Field(
        default_factory=dict,
        description="Fields in which trusted proxies tell of their client's TLS, as version=X-Tls-Version,...; the "
        "proxy must drop them from what clients send.",
    )
    ip_intelligence: _Paths = Field(
        (),
        description="Files that say where addresses are and what they are known for, separated by commas: .yaml, .csv, "
        "or .mmdb.",
    )
    ip_policies: _IPPolicies = Field(
        default_factory=IPPolicies,
        description="Ranges that restrict-ips names by ip_policies, as id=range range !range,... (! refuses), and YAML "
        "files of them.",
    )
    region: str = Field("", description="What this place is called: conn.server_region.")
    endpoint_id: str = Field("", description="What this endpoint is called: endpoint.id.")
    hosts: _Hosts = Field(
        default_factory=dict,
        description="Host names of upstreams that lead elsewhere than DNS says, as name=address[:port],...",
    )
    internal: _Internal = Field(
        default_factory=dict,
        description="Upstreams that forward-internal and http-request know as name.internal, as name=url,...",
    )
    secrets: _Sources = Field(
        tuple(SOURCES), description="Sources that secrets.get asks, in this order, separated by commas."
    )
    secrets_dir: _Location = Field(Path("/run/secrets"), description="Directory of the source `files`.")
    secrets_ttl: Annotated[float, BeforeValidator(_duration), Field(ge=0, allow_inf_nan=False)] = Field(
        30.0, description="How long a secret is remembered before its source is asked again."
    )
    env_file: _Location = Field(
        Path(_ENV_FILE), description="File of settings and, for the source `dotenv`, of secrets."
    )
    catalog: _Location | None = Field(
        None, description="File or directory of providers and models that are laid over the built-in catalogue."
    )
    max_body: Annotated[ByteSize, Field(gt=0)] = Field(
        ByteSize(32 * 1024 * 1024),
        description="Largest request body that is read, and answer that a rule may edit: 32MiB.",
    )
    dialect_errors: bool = Field(
        True, description="Answer errors in the format of the API that was called; off: always in that of OpenAI."
    )
    connect_timeout: _Seconds = Field(10.0, description="Time to connect to an upstream, TLS included, such as 10s.")
    drain_time: _Seconds = Field(
        25.0, description="How long open streams may go on once the server was told to end; then they get an error."
    )
    drain_delay: Annotated[float, BeforeValidator(_duration), Field(ge=0, allow_inf_nan=False)] = Field(
        0.0, description="How long of that new requests are still taken, while readiness says no already."
    )

    _origins: Mapping[str, str] = PrivateAttr(default_factory=dict)
    _warnings: tuple[Problem, ...] = PrivateAttr(())

    def __init__(self, **values: Any) -> None:
        problems = [_unknown_argument(name) for name in values if name not in type(self).model_fields]
        try:
            super().__init__(**values)
        except ValidationError as error:
            problems += _problems(error)
        except (OSError, UnicodeDecodeError):  # the latter carries the whole file
            problems.append(Problem("the .env file cannot be read as UTF-8 text"))
        if problems:
            raise SettingsError(problems)
        environment = EnvSettingsSource(type(self)).env_vars
        in_file = DotEnvSettingsSource(type(self), env_file=self.env_file).env_vars
        self._origins = {
            **dict.fromkeys(_fields_among(in_file), str(self.env_file)),
            **dict.fromkeys(_fields_among(environment), "environment"),
            **dict.fromkeys(values, "argument"),
        }
        self._warnings = (*_unknown_variables({**in_file, **environment}), *self._doubts())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The three sources; which `.env` file it is, the other two say."""
        arguments = init_settings.init_kwargs if isinstance(init_settings, InitSettingsSource) else {}
        env_file = arguments.get("env_file") or os.environ.get(f"{PREFIX}ENV_FILE") or _ENV_FILE
        return init_settings, env_settings, DotEnvSettingsSource(settings_cls, env_file=Path(env_file).expanduser())

    @property
    def secrets_held(self) -> list[Secret]:
        """Those of its values that nobody may read."""
        return [value for _, value in self if isinstance(value, Secret)]

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What is probably not meant, such as a variable that no setting has."""
        return self._warnings

    def described(self) -> list[Described]:
        """Every setting with its value and where that came from; secrets are not shown."""
        return [
            Described(_variable(name), _shown(getattr(self, name)), self._origins.get(name, "default"))
            for name in type(self).model_fields
        ]

    def _doubts(self) -> list[Problem]:
        if self.admin_token is not None and len(self.admin_token.reveal()) < _LONG_TOKEN:
            message = f"{_variable('admin_token')} is shorter than {_LONG_TOKEN} characters and can be guessed"
            return [Problem(message, severity="warning")]
        return []


def _variable(field: str) -> str:
    return f"{PREFIX}{field.upper()}"


def _fields_among(variables: Iterable[str]) -> list[str]:
    return [name for name in Settings.model_fields if _variable(name).lower() in variables]


def _unknown_variables(variables: Iterable[str]) -> list[Problem]:
    ours = [name for name in map(str.upper, variables) if name.startswith(PREFIX)]
    fields = [name.removeprefix(PREFIX).lower() for name in ours if not name.startswith(VARIABLE_PREFIX)]
    return [
        Problem(f"{_variable(field)} is no setting", hint=_meant(field), severity="warning")
        for field in fields
        if field not in Settings.model_fields
    ]


def _meant(field: str) -> str:
    """The variable that was probably meant; compared without the prefix, which would make all of them alike."""
    known = closest(field, Settings.model_fields)
    return _variable(known) if known else ""


def _unknown_argument(name: str) -> Problem:
    return Problem(f"`{name}` is no setting", hint=closest(name, Settings.model_fields))


def _problems(error: ValidationError) -> list[Problem]:
    """One per setting, under the name of its variable; pydantic's own text would show what was given."""
    found = error.errors(include_url=False, include_input=False)
    return [Problem(f"{_variable(str(one['loc'][0]))}: {one['msg'].removeprefix('Value error, ')}") for one in found]


def _shown(value: Any) -> str:
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
