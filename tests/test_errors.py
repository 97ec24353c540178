import pytest

from ai_gateway_mw.errors import Place, Problem, closest


def test_a_problem_shows_its_line_with_a_caret_under_the_place() -> None:
    place = Place("policy.yaml", 7, 5, "    startWith('x')")
    assert str(Problem("unknown function `startWith`", place, "startsWith")) == (
        "policy.yaml:7:5: unknown function `startWith`; did you mean `startsWith`?\n      startWith('x')\n      ^"
    )


@pytest.mark.parametrize(
    "key",
    ["sk-proj-abc123def456", "sk-ant-api03-AAAA", "gsk_0123456789", "AIzaSyA-0123456789", "gw_sk_" + "a1" * 19]
    + ["0123456789abcdef0123456789abcdef"],
)
def test_a_key_in_a_policy_never_reaches_an_error(key: str) -> None:
    problem = Problem(f"`{key}` is wrong", Place("p", 1, 1, f"- valu: {key} # mine"))
    assert key not in str(problem)
    assert str(problem).count("*" * len(key)) == 2


@pytest.mark.parametrize(
    "text", ["claude-sonnet-4-5-20250929", "sk", "api_key_selection", "skip_verification", "a" * 60]
)
def test_ordinary_words_are_shown(text: str) -> None:
    assert text in str(Problem(f"unknown `{text}`"))


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [("providor", ["providers", "models"], "providers"), ("XYZ", ["abc"], ""), ("API_KEYS", ["api_keys"], "api_keys")],
)
def test_the_closest_known_name_is_suggested(name: str, known: list[str], meant: str) -> None:
    assert closest(name, known) == meant
