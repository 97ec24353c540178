"""The reference below docs/policy is what the models and tables say.

`python -m tests.test_policy_docs` writes its pages.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ai_gateway_mw.actions import ACTIONS
from ai_gateway_mw.cel import STANDARD_FUNCTIONS, Environment
from ai_gateway_mw.cel.macros import _GLOBAL, _MEMBER, _NAMESPACED
from ai_gateway_mw.variables import ROWS
from ai_gateway_mw.variables.results import OUR_RESULTS, RESULTS, type_of
from tests.cel.agreement import outcome, same
from tests.gateways import gateway
from tests.policy_reference import FAMILIES, MACROS, Macro, family, pages

DOCS = Path(__file__).parents[1] / "docs"
HERE = DOCS / "policy"
BY_HAND = {"streams.md", "tools.md"}
PAGES = pages()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_what_the_code_says(name: str) -> None:
    assert (HERE / name).read_text() == PAGES[name]


def test_there_is_no_other_page() -> None:
    assert {str(file.relative_to(HERE)) for file in HERE.rglob("*.md")} == PAGES.keys() | BY_HAND


def test_every_family_of_functions_is_there() -> None:
    assert {id(each) for module in FAMILIES.values() for each in family(module)} == set(map(id, STANDARD_FUNCTIONS))


EVERY_MACRO = [each for macros in MACROS.values() for each in macros]


@pytest.mark.parametrize("macro", EVERY_MACRO, ids=[each.form for each in EVERY_MACRO])
def test_the_example_of_a_macro_has_the_value_beside_it(macro: Macro) -> None:
    environment = Environment()
    assert macro.form.partition("(")[0].rpartition(".")[2] in macro.example
    assert same(outcome(environment.expression(macro.example), {}), environment.expression(macro.value)({}))


def test_every_form_of_every_macro_is_there_and_no_other() -> None:
    """Those of `cel.` and `math.` take what they take; of all others the number of arguments tells forms apart."""
    forms = {(each.form.partition("(")[0], each.form.count(",") + 1) for each in EVERY_MACRO}
    spaced = {".".join(each) for each in _NAMESPACED}
    named = {(name.rpartition(".")[2], count) for name, count in forms if name not in spaced}
    assert {name for name, _ in forms if name in spaced} == spaced
    assert named == set(_MEMBER) | set(_GLOBAL)


def test_every_variable_is_there() -> None:
    page = PAGES["variables.md"]
    results = [row.name for row in ROWS if row.name.startswith("actions.")]
    plain = [row.name for row in ROWS if row.name not in results]
    assert [name for name in plain if page.count(f"| `{name}` |") != 1] == []
    assert [name for name in results if f"`{name}" not in page] == []


def test_every_result_says_what_it_means_and_stands_on_the_page_of_its_action() -> None:
    """A name, a type or nothing is no meaning."""
    for prefix, results in (("actions.ngrok", RESULTS), ("actions", OUR_RESULTS)):
        for action, fields in results.items():
            page = PAGES.get(f"actions/{type_of(action)}.md")
            for name, (type_, doc) in fields.items():
                assert re.fullmatch(r"\S+ \S+ .+\.", doc), name
                row = f"| `{prefix}.{action}.{name}` | `{type_}` | {doc} |"
                assert page is None or page.count(row) == 1, row


def test_every_action_of_our_own_has_its_results_in_the_reference() -> None:
    assert {type_of(action) for action in OUR_RESULTS} == {"gateway-auth", "redact"}


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_an_example_loads(name: str) -> None:
    policy = re.search(r"```yaml\n(.*?)```", PAGES[f"actions/{name}.md"], re.DOTALL)
    assert policy
    internal = {"orders": "http://127.0.0.1:9"}
    assert gateway(policy[1], internal=internal).warnings == ()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_its_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^):]+)\)", PAGES[name]):
        path, _, anchor = target.partition("#")
        file = (HERE / name).parent / path if path else HERE / name
        headings = {
            re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-")
            for line in file.read_text().splitlines()
            if line.startswith("#")
        }
        assert not anchor or anchor in headings, target


if __name__ == "__main__":
    for name, text in PAGES.items():
        (HERE / name).parent.mkdir(parents=True, exist_ok=True)
        (HERE / name).write_text(text)
