"""Secrets: compared in constant time, and never shown in an error."""

from __future__ import annotations

import pytest

from ai_gateway_mw.cel import STRING, EvaluationError, Overload, template
from tests.cel.support import ACTIVATION, ENVIRONMENT

SECRET = "s3cr3t-value"
LOOKED_UP = Overload("secrets.get", (STRING, STRING), STRING, lambda vault, name: SECRET, sensitive=True)
SAFE = ENVIRONMENT.extend(functions=[LOOKED_UP])

COMPARED = [
    ("secrets.get('a', 'b') == 's3cr3t-value'", True),
    ("'Bearer ' + secrets.get('a', 'b') == 'Bearer s3cr3t-value'", True),
    ("secrets.get('a', 'b') != 'x'", True),
    ("secrets.get('a', 'b') in ['x', 's3cr3t-value']", True),
    ("'x' in [secrets.get('a', 'b')]", False),
    ("[secrets.get('a', 'b')].exists(s, s == 's3cr3t-value')", True),
    ("cel.bind(s, secrets.get('a', 'b'), s == 'x')", False),
    ("[secrets.get('a', 'b')] == ['s3cr3t-value']", True),
    ("secrets.get('a', 'b').size() == 12", True),
    ("secrets.get('a', 'b') == vars.tier", False),
]


@pytest.mark.parametrize(("text", "expected"), COMPARED, ids=[text for text, _ in COMPARED])
def test_comparisons_with_secrets(text: str, expected: bool) -> None:
    expression = SAFE.expression(text)
    assert expression.sensitive
    assert expression(ACTIVATION) is expected


class Touchy(str):
    """A secret that must not be compared in the ordinary way, which ends at the first difference."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared with ==")

    def __ne__(self, other: object) -> bool:
        raise AssertionError("compared with !=")


@pytest.mark.parametrize("text", [text for text, _ in COMPARED])
def test_they_take_constant_time(text: str) -> None:
    touchy = Overload("secrets.get", (STRING, STRING), STRING, lambda vault, name: Touchy(SECRET), sensitive=True)
    assert ENVIRONMENT.extend(functions=[touchy]).expression(text)(ACTIVATION) in (True, False)


@pytest.mark.parametrize(
    "text",
    [
        "int(secrets.get('a', 'b'))",
        "{'a': 1}[secrets.get('a', 'b')]",
        "timestamp(secrets.get('a', 'b'))",
        "json.decode(secrets.get('a', 'b'))",
        "'x'.matches(secrets.get('a', 'b') + '(')",
        "vars[secrets.get('a', 'b')].x",
        "secrets.get('a', 'b').charAt(500)",
        "[1][int(size(secrets.get('a', 'b')))]",
    ],
)
def test_errors_do_not_show_values(text: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        SAFE.expression(text)(ACTIVATION)
    assert SECRET not in str(caught.value)


def test_an_error_of_a_sensitive_function_has_no_cause() -> None:
    def fail(name: str) -> str:
        raise LookupError(SECRET)

    environment = ENVIRONMENT.extend(functions=[Overload("leak", (STRING,), STRING, fail, sensitive=True)])
    with pytest.raises(EvaluationError) as caught:
        environment.expression("leak('a')")(ACTIVATION)
    assert caught.value.__cause__ is None
    assert SECRET not in str(caught.value)


def test_other_expressions_are_not_sensitive() -> None:
    assert not SAFE.expression("vars.tier == 'gold'").sensitive


@pytest.mark.parametrize(
    ("text", "settled"),
    [
        ("secrets.get('a', 'b')", True),
        ("'Bearer ' + secrets.get('a', 'b').trim()", True),
        ("'x'", True),
        ("secrets.get('a', 'b' + 'c')", False),
        ("secrets.get('a', req.method)", False),
        ("secrets.get('a', secrets.get('a', 'b'))", False),
        ("req.method == 'GET' ? secrets.get('a', 'b') : ''", False),
        ("secrets.get('a', 'b') + chance()", False),
        ("['b'].map(name, secrets.get('a', name))[0]", False),
    ],
)
def test_a_settled_one_changes_only_when_a_secret_does_that_it_names(text: str, settled: bool) -> None:
    chance = Overload("chance", (), STRING, lambda _: "?", contextual=True)
    assert SAFE.extend(functions=[chance]).expression(text).settled is settled


def test_a_template_is_settled_if_all_in_it_is() -> None:
    texts = ["plain", "${secrets.get('a', 'b')} and ${'x'}", "${secrets.get('a', 'b')} and ${req.method}"]
    assert [template(text, SAFE).settled for text in texts] == [True, True, False]
