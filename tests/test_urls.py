from __future__ import annotations

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from ai_gateway_mw.surfaces import route_of
from ai_gateway_mw.urls import LONGEST, URL, encoded_path, encoded_query, parsed, replaced

BASE = URL("https", "a.test", "/x", "y")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://a.test", "https://a.test/"),
        ("http://a.test:8080/b?c#d", "http://a.test:8080/b?c#d"),
        ("http://[::1]:80/", "http://[::1]:80/"),
        ("/b", "https://a.test/b"),
        ("//b.test", "https://a.test//b.test"),
        (r"/\b", "https://a.test/%5Cb"),
        ("/a b?c=d e#f g", "https://a.test/a%20b?c=d%20e#f%20g"),
        ("/ü%20%zz%", "https://a.test/%C3%BC%20%25zz%25"),
        ('/"<>`{|}^', "https://a.test/%22%3C%3E%60%7B%7C%7D%5E"),
        ("/\ud800", "https://a.test/%ED%A0%80"),
    ],
)
def test_a_url_is_encoded_where_that_is_needed(text: str, url: str) -> None:
    assert str(parsed(text, BASE)) == url


@pytest.mark.parametrize(
    "text",
    ["", "b", "HTTP://a.test/", "ftp://a.test/", "https:///x", "https://u@a.test/", "https://a.test:x/", "https://a b/",
     "https://a.test:99999/", "https://a.test:0/", "https://[zz]/", "https://[1.2]/", "https://ü.test/", "/a\nb",
     "/a\x00", "javascript:alert(1)", "/" + "x" * LONGEST],
)  # fmt: skip
def test_what_is_no_url(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(the|this) ") as caught:
        parsed(text, BASE)
    assert len(text) < 4 or text not in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "text", "replacement", "result"),
    [
        ("a", "banana", "o", "bonono"),
        ("(a)(n)?", "banana", "<$2$1>", "b<na><na><a>"),
        ("(?P<x>a)", "banana", "${x}-", "ba-na-na-"),
        ("a", "a", "$$1", "$1"),
        ("(a)", "a", "$1x", ""),
        ("(a)", "a", "${1}x", "ax"),
        ("(a)", "a", "$10$99999999999999$name", ""),
        ("(a)", "a", "$", "$"),
        ("x*", "axxb", "-", "-a-b-"),
        ("^", "ab", "-", "-ab"),
        ("$", "ab", "-", "ab-"),
    ],
)
def test_replacing_is_as_in_go(pattern: str, text: str, replacement: str, result: str) -> None:
    assert replaced(re2.compile(pattern), text, replacement)[0] == result


def test_what_grows_too_long_is_given_up() -> None:
    with pytest.raises(ValueError, match="too long"):
        replaced(re2.compile("(a+)"), "a" * 1000, "$1" * 1000)


@given(st.text(), st.text())
def test_no_text_breaks_it(text: str, replacement: str) -> None:
    pattern = re2.compile("(?P<n>.)?")
    try:
        made, _ = replaced(pattern, text, replacement)
        url = parsed(made, BASE)
    except ValueError:
        return
    assert parsed(str(url)) == url
    assert str(url).isascii()
    assert not set(str(url)) & set(' \r\n\\<>"')


@given(st.text(alphabet=st.characters(min_codepoint=1, exclude_categories=["Cs"])), st.binary())
def test_a_path_comes_back_as_it_was(path: str, query: bytes) -> None:
    """What is decided on a URL holds for the request."""
    url = URL("http", "a.test", encoded_path(f"/{path}", b"/other"), encoded_query(query))
    assert url.plain_path == f"/{path}"
    if not set(str(url)) & {"#"}:
        assert parsed(str(url)).plain_path == f"/{path}"


def test_the_raw_path_counts_only_where_it_is_the_same() -> None:
    assert encoded_path("/a/b", b"/a%2Fb") == "/a%2Fb"
    assert encoded_path("/v1/chat/completions", b"/chat/completions") == "/v1/chat/completions"
    assert route_of("/v1/chat/completions") is not None
