"""Settings: which there are and their defaults; from keyword arguments, `AI_GATEWAY_*` variables and a `.env` file, in
this order. The only module that imports pydantic-settings.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import ByteSize, Field, PrivateAttr, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from ai_gateway_mw.errors import Problem
from ai_gateway_mw.facts import IPPolicies
from ai_gateway_mw.secrets import SOURCES, Secret
from ai_gateway_mw.settings.names import (
    PREFIX,
    SettingsError,
    fields_among,
    problems_in,
    unknown_arguments,
    unknown_variables,
    variable_of,
)
from ai_gateway_mw.settings.values import (
    Hidden,
    Hosts,
    InternalURLs,
    Location,
    Locations,
    NamedRanges,
    Networks,
    Seconds,
    SecondsOrZero,
    SecretSources,
    TLSFields,
    shown,
)

_ENV_FILE: Final = ".env"
_LONG_TOKEN: Final = 16


class Described(NamedTuple):
    """One setting as `doctor` shows it."""

    name: str
    shown: str
    source: str


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

    data_dir: Location = Field(
        Path(".ai-gateway"), description="Directory for what is stored; made when something needs storing."
    )
    database_url: Hidden = Field(
        None,
        description="Database of keys, usage and audit as a SQLAlchemy URL; default: SQLite in the data directory.",
    )
    master_key: Hidden = Field(
        None,
        description="Key that seals stored secrets: 32 bytes in base64 or hexadecimal, or a passphrase of at least 16 "
        "characters; default: the file master.key in the data directory, made when something needs it.",
    )
    key_rotation: SecondsOrZero = Field(
        90 * 24 * 3600.0, description="Age at which gateway keys are due for rotation, such as 90d; 0 for never."
    )
    admin_token: Hidden = Field(
        None, description="Bearer token of the admin plane, or its argon2id hash; without one there is none."
    )
    audit_requests: Literal["off", "strict", "best-effort"] = Field(
        "off",
        description="Whether each request is written to the audit log before it goes to a provider; strict: none goes "
        "that cannot be written, best-effort: it goes on, and is written as soon as that can be.",
    )
    trusted_proxies: Networks = Field(
        (), description="CIDR ranges of proxies whose X-Forwarded-For or Forwarded is believed, separated by commas."
    )
    tls_fields: TLSFields = Field(
        default_factory=dict,
        description="Fields in which trusted proxies tell of their client's TLS, as version=X-Tls-Version,...; the "
        "proxy must drop them from what clients send.",
    )
    ip_intelligence: Locations = Field(
        (),
        description="Files that say where addresses are and what they are known for, separated by commas: .yaml, .csv, "
        "or .mmdb.",
    )
    ip_policies: NamedRanges = Field(
        default_factory=IPPolicies,
        description="Ranges that restrict-ips names by ip_policies, as id=range range !range,... (! refuses), and YAML "
        "files of them.",
    )
    region: str = Field("", description="What this place is called: conn.server_region.")
    endpoint_id: str = Field("", description="What this endpoint is called: endpoint.id.")
    hosts: Hosts = Field(
        default_factory=dict,
        description="Host names of upstreams that lead elsewhere than DNS says, as name=address[:port],...",
    )
    internal: InternalURLs = Field(
        default_factory=dict,
        description="Upstreams that forward-internal and http-request know as name.internal, as name=url,...",
    )
    secrets: SecretSources = Field(
        tuple(SOURCES), description="Sources that secrets.get asks, in this order, separated by commas."
    )
    secrets_dir: Location = Field(Path("/run/secrets"), description="Directory of the source `files`.")
    secrets_ttl: SecondsOrZero = Field(
        30.0, description="How long a secret is remembered before its source is asked again."
    )
    env_file: Location = Field(
        Path(_ENV_FILE), description="File of settings and, for the source `dotenv`, of secrets."
    )
    catalog: Location | None = Field(
        None, description="File or directory of providers and models that are laid over the built-in catalogue."
    )
    max_body: Annotated[ByteSize, Field(gt=0)] = Field(
        ByteSize(32 * 1024 * 1024),
        description="Largest request body that is read, and answer that a rule may edit: 32MiB.",
    )
    dialect_errors: bool = Field(
        True, description="Answer errors in the format of the API that was called; off: always in that of OpenAI."
    )
    connect_timeout: Seconds = Field(10.0, description="Time to connect to an upstream, TLS included, such as 10s.")
    drain_time: Seconds = Field(
        25.0, description="How long open streams may go on once the server was told to end; then they get an error."
    )
    drain_delay: SecondsOrZero = Field(
        0.0, description="How long of that new requests are still taken, while readiness says no already."
    )

    _origins: Mapping[str, str] = PrivateAttr(default_factory=dict)
    _warnings: tuple[Problem, ...] = PrivateAttr(())

    def __init__(self, **values: Any) -> None:
        problems = unknown_arguments(values, type(self).model_fields)
        try:
            super().__init__(**values)
        except ValidationError as error:
            problems += problems_in(error)
        except (OSError, UnicodeDecodeError):  # the latter carries the whole file
            problems.append(Problem("the .env file cannot be read as UTF-8 text"))
        if problems:
            raise SettingsError(problems)
        environment = EnvSettingsSource(type(self)).env_vars
        in_file = DotEnvSettingsSource(type(self), env_file=self.env_file).env_vars
        self._origins = {
            **dict.fromkeys(fields_among(in_file, Settings.model_fields), str(self.env_file)),
            **dict.fromkeys(fields_among(environment, Settings.model_fields), "environment"),
            **dict.fromkeys(values, "argument"),
        }
        self._warnings = (*unknown_variables({**in_file, **environment}, Settings.model_fields), *self._doubts())

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
            Described(variable_of(name), shown(getattr(self, name)), self._origins.get(name, "default"))
            for name in type(self).model_fields
        ]

    def _doubts(self) -> list[Problem]:
        if self.admin_token is not None and len(self.admin_token.reveal()) < _LONG_TOKEN:
            message = (
                f"{variable_of('admin_token')} is shorter than {_LONG_TOKEN} characters: the admin plane stays closed"
            )
            return [Problem(message, severity="warning")]
        return []
