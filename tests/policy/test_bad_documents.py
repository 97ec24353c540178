"""Every problem of a bad document is named with its place: the table is bad_documents.txt."""

from __future__ import annotations

from pathlib import Path

import pytest

from ai_gateway_mw.errors import PolicyError, Problem
from ai_gateway_mw.policy import load_policy

TABLE = Path(__file__).with_name("bad_documents.txt").read_text(encoding="utf-8")


def rows() -> list[object]:
    """Sections of the table: `=== id`, a document, `>>>`, and a line for each of its problems."""
    sections = [section.partition("\n") for section in TABLE.removeprefix("=== ").split("\n=== ")]
    split = [(name, body.partition("\n>>>\n")) for name, _, body in sections]
    return [pytest.param(document, problems.strip().splitlines(), id=name) for name, (document, _, problems) in split]


def shown(problem: Problem) -> str:
    severity = "warning: " if problem.severity == "warning" else ""
    return f"{problem.place.line}:{problem.place.column} {severity}{problem.headline}" if problem.place else ""


def problems_of(document: str) -> list[str]:
    with pytest.raises(PolicyError) as raised:
        load_policy(document)
    return [shown(problem) for problem in raised.value.problems]


@pytest.mark.parametrize(("document", "problems"), rows())
def test_problems_and_their_places(document: str, problems: list[str]) -> None:
    assert problems_of(document) == problems


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        pytest.param("a:\n\t- b\n", "2:1 a tab is used to indent; YAML wants spaces", id="tab before a dash"),
        pytest.param("a:\n  b:\n\tc: 1\n", "3:1 a tab is used to indent; YAML wants spaces", id="tab before a key"),
        pytest.param("a: |\n\tx\n", "2:1 a tab is used to indent; YAML wants spaces", id="tab in a block"),
        pytest.param('a: "\x07"\n', "1:5 the character U+0007 is not allowed in YAML", id="control character"),
        pytest.param("a: \ud800\n", "1:4 the character U+D800 is not allowed in YAML", id="half a surrogate pair"),
        pytest.param("a: \x00\n", "1:4 the character U+0000 is not allowed in YAML", id="NUL"),
    ],
)
def test_characters_that_are_hard_to_see(document: str, problem: str) -> None:
    assert problems_of(document) == [problem]


def test_the_line_is_shown_with_a_caret() -> None:
    with pytest.raises(PolicyError) as raised:
        load_policy("on_http_request:\n  - type: deny\n    confg: {}\n", name="team.yaml")
    assert str(raised.value) == "team.yaml:3:5: unknown key `confg`; did you mean `config`?\n      confg: {}\n      ^"


def test_a_very_long_line_is_not_shown() -> None:
    with pytest.raises(PolicyError) as raised:
        load_policy('{"on_http_requests": ["' + "x" * 1000 + '"]}')
    assert str(raised.value) == "<policy>:1:2: unknown key `on_http_requests`; did you mean `on_http_request`?"


def test_a_path_given_as_text_is_recognised() -> None:
    assert problems_of("team.yaml")[0].endswith("to load a file, pass a Path")


def test_problems_stop_at_a_number_that_can_be_read() -> None:
    problems = problems_of("on_http_request:\n" + "  - deny\n" * 2000)
    assert len(problems) == 501
    assert problems[-1] == "501:5 there are too many problems to show; here they stop"
