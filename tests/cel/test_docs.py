"""docs/cel.md: every example on the page runs, and the page and the tables of the package name the same things."""

from __future__ import annotations

import doctest
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import yaml
from starlette.types import Message

from ai_gateway_mw.answering import ResponseHead
from ai_gateway_mw.cel import STANDARD_FUNCTIONS, Environment, EvaluationError, Limits, Overload, Variable
from ai_gateway_mw.cel.macros import _GLOBAL, _MEMBER, _NAMESPACED
from ai_gateway_mw.context import Context
from ai_gateway_mw.headers import Fields
from ai_gateway_mw.policy import Phase
from ai_gateway_mw.providers import Catalog, ProviderDocument, configured
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.secrets import MemorySource, Secret, SecretStore
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.state import MemoryProviderKeys, ModelMetrics
from ai_gateway_mw.stores import Stores
from ai_gateway_mw.upstream.functions import AUTHORS, KEYS, MODELS, PROVIDERS, ai_functions, ai_types
from ai_gateway_mw.upstream.key_ring import ProviderKey
from ai_gateway_mw.variables import ROWS
from ai_gateway_mw.variables.results import RESULT_ROWS
from tests.asgi import http_scope
from tests.cel.agreement import FAILS, outcome, same

PAGE = Path(__file__).parents[2] / "docs" / "cel.md"
EXCHANGE = ("Variables", "Functions of the exchange")
STRATEGIES = "Functions of strategies"


class Row(NamedTuple):
    """A row of a table: its cells by the names of their columns, and the headings it stands under."""

    section: str
    chapter: str
    cells: dict[str, str]


@cache
def text() -> str:
    return PAGE.read_text(encoding="utf-8")


def lines_of(page: str) -> Iterator[tuple[str, str, str]]:
    """Every line outside code blocks, with its heading and the heading above that."""
    chapter = section = ""
    fenced = False
    for line in page.splitlines():
        fenced ^= line.startswith("```")
        if line.startswith("## "):
            chapter = section = line[3:]
        elif line.startswith("### "):
            section = line[4:]
        if not fenced:
            yield section, chapter, line


def rows() -> Iterator[Row]:
    head: list[str] = []
    for section, chapter, line in lines_of(text()):
        if not line.startswith("|"):
            head = []
            continue
        cells = [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not head:
            head = cells
        elif not set(cells[0]) <= set("-: "):
            assert len(cells) == len(head), line
            yield Row(section, chapter, dict(zip(head, cells, strict=True)))


def spans(cell: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text(), re.MULTILINE | re.DOTALL)


def code(cell: str) -> str:
    """A cell that is one piece of code; or the word `error` as it is."""
    match = re.fullmatch(r"`(.*)`", cell)
    return match[1] if match else cell


def examples() -> list[tuple[str, str, str]]:
    """Section, expression and value of every example; what has no value is still evaluated."""
    found = []
    for row in rows():
        expression = row.cells.get("Example") or (row.section == "Variables" and row.cells["Variable"])
        if expression and "Value" in row.cells:
            found.append((row.section, code(expression), code(row.cells["Value"])))
    return found


EXAMPLES = examples()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 200


@pytest.mark.parametrize(("section", "example", "value"), EXAMPLES, ids=[example for _, example, _ in EXAMPLES])
def test_an_example_has_the_value_beside_it(section: str, example: str, value: str) -> None:
    environment, activation = place_of(section, example)
    found = outcome(environment.expression(example), activation)
    if value == "error":
        assert found is FAILS
    elif value:
        assert same(found, plain().expression(value)({})), found
    else:
        assert found is not FAILS


def test_the_sessions_on_the_page_run() -> None:
    result = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert result.attempted > 20
    assert not result.failed


# where an example runs


@cache
def plain() -> Environment:
    return Environment()


def place_of(section: str, example: str) -> tuple[Environment, Any]:
    if section in EXCHANGE:
        return exchange(Phase.ON_HTTP_RESPONSE), request()
    return strategies() if section == STRATEGIES else (plain(), {})


async def nothing() -> Message:
    return {"type": "http.disconnect"}


@cache
def exchange(phase: Phase) -> Environment:
    secrets = SecretStore([MemorySource({"team": {"token": "letmein"}})])
    return Runtime(Stores(Settings(), secrets=secrets), phase).environment


@cache
def request() -> Context:
    """The exchange of the page."""
    asked, answered = blocks("http")
    head, _, body = asked.partition("\n\n")
    (line, *header), (status, *answer) = head.splitlines(), answered.strip().splitlines()
    method, target, _ = line.split()
    named = [tuple(field.split(": ", 1)) for field in header]
    scope = http_scope(method, target, headers=named, client=("203.0.113.7", 50_000), scheme="https")  # type: ignore[arg-type]
    made = Context(scope, nothing)
    made.body = body.strip().encode()
    fields_ = [tuple(part.encode() for part in field.split(": ", 1)) for field in answer]
    made.response = ResponseHead(int(status.split()[1]), Fields(fields_))  # type: ignore[arg-type]
    return made


@cache
def strategies() -> tuple[Environment, Any]:
    """The providers, models and keys of the page."""
    (box,) = blocks("yaml")
    documents = [ProviderDocument.model_validate(each) for each in ({"id": "openai"}, yaml.safe_load(box))]
    providers = configured(Catalog.load(), documents, metrics=ModelMetrics().of)
    models = [model for model in providers[1].models if model.id in ("llama", "mistral", "unpriced")]
    states = MemoryProviderKeys()
    keys = [ProviderKey(name, Secret("sk", name), states.state(name), None) for name in ("k1", "k2")]  # type: ignore[arg-type]
    authors = [model.author for model in models if model.author]
    lists = {"models": MODELS, "keys": KEYS, "providers": PROVIDERS, "authors": AUTHORS}
    environment = Environment(
        variables=[
            Variable(f"ai.{name}", type_, lambda given, name=name: getattr(given, name))
            for name, type_ in lists.items()
        ],
        functions=(*STANDARD_FUNCTIONS, *ai_functions(Random(1))),
        types=ai_types(),
        lenient=True,
    )
    return environment, SimpleNamespace(models=models, keys=keys, providers=providers, authors=authors)


# the page and the tables name the same

Form = tuple[str, int]  # a name, with a dot before it if it is called as a method; how many arguments it takes
NAMESPACES = {each.name.rpartition(".")[0] for each in STANDARD_FUNCTIONS} | {"cel", "rand", "secrets", "time"}


def forms(signature: str) -> set[Form]:
    """`string.indexOf(part[, from])` -> .indexOf with one and with two arguments."""
    match = re.fullmatch(r"([\w.]+)\((.*)\)", signature)
    assert match, f"`{signature}` is no signature"
    receiver, _, method = match[1].rpartition(".")
    name = match[1] if receiver in NAMESPACES or not receiver else f".{method}"
    needed = [each for each in re.sub(r"\[.*?\]*$|\[[^\]]*\]", "", match[2]).split(",") if each.strip()]
    optional = match[2].count("[")
    return {(name, len(needed) + more) for more in range(optional + 1)}


def documented(column: str, *sections: str) -> set[Form]:
    """The forms in the first column of the tables of some sections, or chapters."""
    return {
        form
        for row in rows()
        if column in row.cells and (row.section in sections or row.chapter in sections)
        for signature in spans(row.cells[column])
        for form in forms(signature)
    }


def existing(overloads: tuple[Overload, ...]) -> set[Form]:
    return {
        (f".{each.name}" if each.member else each.name, len(each.params) - each.member)
        for each in overloads
        if each.name[0].isalpha()
    }


def test_the_page_has_every_function_in_every_form_and_no_other() -> None:
    page, table = documented("Function", "Functions"), existing(STANDARD_FUNCTIONS)
    assert page - table == set()
    assert table - page == set()


def test_the_page_has_every_operator() -> None:
    page = " ".join(span for row in rows() for span in spans(row.cells.get("Operator", "")))
    symbols = {each.name.strip("_") for each in STANDARD_FUNCTIONS if not each.name[0].isalpha()}
    assert {symbol for symbol in symbols if symbol not in page.split() and f"{symbol}a" not in page.split()} == set()


def test_the_page_has_every_macro_in_every_form_and_no_other() -> None:
    page = documented("Macro", "Macros")
    counted = {(f".{name}", count) for name, count in _MEMBER} | set(_GLOBAL)
    spaced = {f"{space}.{name}" for space, name in _NAMESPACED}
    assert {form for form in page if form[0] not in spaced} == counted
    assert {name for name, _ in page if name in spaced} == spaced


def test_the_page_has_every_function_of_the_exchange_and_no_other() -> None:
    standard = set(map(id, STANDARD_FUNCTIONS))
    added = tuple(each for phase in Phase for each in exchange(phase).functions if id(each) not in standard)
    assert documented("Function", EXCHANGE[1]) == existing(added)


def test_the_page_has_every_variable_and_no_other() -> None:
    page = [(code(row.cells["Variable"]), code(row.cells["Type"])) for row in rows() if "Variable" in row.cells]
    assert sorted(page) == sorted((row.name, str(row.type)) for row in ROWS)


def test_the_page_says_of_results_what_the_reference_says() -> None:
    page = {code(row.cells["Variable"]): row.cells["Meaning"] for row in rows() if row.section == "Results of actions"}
    assert page == {row.name: row.doc for row in RESULT_ROWS}


def test_the_page_has_every_function_of_strategies_and_no_other() -> None:
    assert documented("Function", STRATEGIES) == existing(ai_functions(Random(1)))


def test_the_page_has_every_limit() -> None:
    page = {code(row.cells["Limit"]): int(row.cells["Default"]) for row in rows() if "Limit" in row.cells}
    assert page == {each.name: each.default for each in fields(Limits)}


def test_the_page_names_every_case_that_is_excepted() -> None:
    known = json.loads((Path(__file__).parent / "conformance_known.json").read_text())
    assert f"{known['cases']:,} of {known['cases']:,}" in text() or known["failing"]
    assert [name for name in known["failing"] if name not in text()] == []


def test_links_within_the_page_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for _, _, line in lines_of(text())
        if line.startswith("#")
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", text())) <= headings


def test_a_wrong_example_would_be_noticed() -> None:
    with pytest.raises(AssertionError):
        test_an_example_has_the_value_beside_it("Strings", "'a'.size()", "1u")
    with pytest.raises(EvaluationError):
        plain().expression("1 / 0")({})
