"""Names of settings: the variable of each, and what is said where nothing has that name or a value cannot be used.

What cannot be used is told by its variable, for that is what people change, and without what was given.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from pydantic import ValidationError

from ai_gateway_mw.errors import Problem, closest
from ai_gateway_mw.secrets import VARIABLE_PREFIX

PREFIX: Final = "AI_GATEWAY_"
# In place of what pydantic says, which gives no example.
_SAID: Final = dict.fromkeys(("byte_size", "byte_size_unit"), "a size with its unit, such as `32MiB`")


class SettingsError(ValueError):
    """Settings that cannot be used; `problems` names them all and shows no secret."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def variable_of(field: str) -> str:
    """The variable that sets it, in upper case; any case is read."""
    return f"{PREFIX}{field.upper()}"


def fields_among(variables: Collection[str], known: Iterable[str]) -> list[str]:
    """The settings that these variables, in lower case, set."""
    return [name for name in known if variable_of(name).lower() in variables]


def unknown_variables(variables: Iterable[str], known: Collection[str]) -> list[Problem]:
    """A warning for each variable of ours that no setting has; those that hold secrets are none."""
    ours = [name for name in map(str.upper, variables) if name.startswith(PREFIX)]
    fields = [name.removeprefix(PREFIX).lower() for name in ours if not name.startswith(VARIABLE_PREFIX)]
    return [
        Problem(f"{variable_of(field)} is no setting", hint=_meant(field, known), severity="warning")
        for field in fields
        if field not in known
    ]


def _meant(field: str, known: Iterable[str]) -> str:
    """The variable that was probably meant; compared without the prefix, which would make all of them alike."""
    meant = closest(field, known)
    return variable_of(meant) if meant else ""


def unknown_arguments(names: Iterable[str], known: Collection[str]) -> list[Problem]:
    """A problem for each keyword argument that no setting has: that is a mistake in code, not in an environment."""
    return [Problem(f"`{name}` is no setting", hint=closest(name, known)) for name in names if name not in known]


def problems_in(error: ValidationError) -> list[Problem]:
    """One per setting, under the name of its variable; pydantic's own text would show what was given."""
    found = error.errors(include_url=False, include_input=False)
    said = [_SAID.get(one["type"]) or one["msg"].removeprefix("Value error, ") for one in found]
    return [Problem(f"{variable_of(str(one['loc'][0]))}: {text}") for one, text in zip(found, said, strict=True)]
