"""What a policy says of tokens (JWT): the parts of the config of `jwt-validation`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, field_validator

from ai_gateway_mw.policy import ActionConfig, TemplateText

T = TypeVar("T")
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


def _one(value: Any) -> Any:
    """A list of one is taken as that one: ngrok's reference writes lists where its examples have none."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _no_repeats(values: Sequence[T], said: Callable[[T], Any]) -> Sequence[T]:
    seen = [said(value) for value in values]
    for value in seen:
        if seen.count(value) > 1:
            raise ValueError(f"`{value}` is given twice")
    return values


class Allowed(ActionConfig):
    """One value that is allowed."""

    value: TemplateText = Field(description="The value, exactly, with its final slash if it has one.")


class AllowList(ActionConfig):
    """Values of which the token must have one."""

    allow_list: tuple[Allowed, ...] = Field(min_length=1, description="The values that are allowed.")

    @field_validator("allow_list")
    @classmethod
    def _differ(cls, value: tuple[Allowed, ...]) -> tuple[Allowed, ...]:
        _no_repeats(value, lambda each: str(each.value))
        return value


class TokenPlace(ActionConfig):
    """Where a token stands in the request."""

    type: Literal["jwt", "at+jwt", "it+jwt", "id_token", "access_token", "plain"] = Field(
        description="What the token says it is: `at+jwt` must be written in its header, `jwt` may be left out there; "
        "`plain` takes any."
    )
    method: Literal["header", "body"] = Field(description="Whether a header field or a field of the body holds it.")
    name: TemplateText = Field(min_length=1, description="The name of that field, in any case.")
    prefix: TemplateText = Field(
        TemplateText(""),
        description="What stands before the token and must be there, such as `Bearer ` with its blank.",
    )


class HTTPTokens(ActionConfig):
    """The tokens of a request."""

    tokens: tuple[TokenPlace, ...] = Field(
        min_length=1, max_length=10, description="Where tokens stand; all of them must be there and valid."
    )

    @field_validator("tokens")
    @classmethod
    def _differ(cls, value: tuple[TokenPlace, ...]) -> tuple[TokenPlace, ...]:
        _no_repeats(value, lambda each: f"{each.method} {each.name.lower()}")
        return value


class Identification(ActionConfig):
    """What of a token names its key."""

    token_claims: tuple[Literal["kid"], ...] = Field(
        (), max_length=1, description="`kid`: a token must name its key; by default one that does not is tried on all."
    )


class Sources(ActionConfig):
    """Where keys are fetched."""

    additional_jkus: tuple[TemplateText, ...] = Field(
        min_length=1, max_length=100, description="URLs of JWK Sets, asked in this order, over https."
    )

    @field_validator("additional_jkus")
    @classmethod
    def _differ(cls, value: tuple[TemplateText, ...]) -> tuple[TemplateText, ...]:
        _no_repeats(value, str)
        return value


class Keys(ActionConfig):
    """Keys, and how that of a token is found among them."""

    identification: Annotated[Identification, BeforeValidator(_one)] = Field(
        Identification.model_construct(token_claims=()), description="How a token says which key signed it."
    )
    sources: Annotated[Sources, BeforeValidator(_one)] = Field(description="Where keys come from.")


class Signatures(ActionConfig):
    """Which signatures count."""

    allowed_algorithms: tuple[str, ...] = Field(
        min_length=1,
        description="Such as `RS256`, `ES256` or `EdDSA`; no other one is accepted, whatever a key allows.",
    )
    keys: Annotated[Keys, BeforeValidator(_one)] = Field(description="The keys that signatures are checked with.")

    @field_validator("allowed_algorithms")
    @classmethod
    def _are_asymmetric(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name.lower() == "none":
                raise ValueError("`none` would accept tokens that nobody signed")
            if name.upper().startswith("HS"):
                raise ValueError(
                    f"`{name}` signs with a shared key, and a JWK Set is public: whoever reads it could sign"
                )
            if name not in _ALGORITHMS:
                raise ValueError(f"`{name}` is not one of {', '.join(_ALGORITHMS)}")
        _no_repeats(value, str)
        return value
