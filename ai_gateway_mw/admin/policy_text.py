"""The text of a policy as it may be shown: where credentials stand, only what fetches them is left.

What a policy should never hold, a credential in a place of its own choosing, is starred out where it looks like one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from ai_gateway_mw.errors import without_keys
from ai_gateway_mw.policy import Document, Node, Path
from ai_gateway_mw.secrets import MIN_LENGTH

_MASK: Final = '"***"'
_CREDENTIAL: Final = re.compile(
    r"(?:^|[-_.])(?:api_?keys?|authorization|cookies?|credentials?|keys?|passwords?|secrets?|tokens?|value)$"
)
_HOLDING: Final = frozenset({"headers", "query_params"})  # whose members are often credentials, whatever their names
_PUBLIC: Final = frozenset(
    ["accept", "bucket_key", "cache-control", "content-type", "location", "retry-after", "user-agent", "vary"]
)
_BEFORE: Final = re.compile(r"\s+|#[^\r\n]*|^---|^%[^\r\n]*", re.MULTILINE)  # what is no part of any value
_NAME: Final = r"\s*(?:'[^'\"]*'|\"[^'\"]*\")\s*"
_FETCHED: Final = re.compile(rf"(?:(?:Bearer|Basic) )?\$\{{\s*secrets\.get\({_NAME}(?:,{_NAME})?\)\s*\}}")


def shown(document: Document, redact: Callable[[str], str]) -> str:
    """The policy as it is written, and nothing of what stands around it in its file; `redact` takes out secrets that
    the process knows."""
    source = document.root.span.source
    start, end = _stretch(document.root)
    pieces, at = [], start
    for span in sorted((node.span for _, node in _credentials(document.root, ())), key=lambda span: span.start):
        if span.source is source and span.start >= at:
            pieces += [source.text[at : span.start], _MASK, "\n" if span.spelling.endswith("\n") else ""]
            at = span.end
    pieces.append(source.text[at:end])
    return redact(without_keys("".join(pieces)))


def credentials_of(document: Document) -> Iterator[str]:
    """What the policy itself says where credentials stand, if it is long enough to be one. What never is one is left
    out: expressions, and fields of which everybody knows what they say."""
    for path, node in _credentials(document.root, ()):
        name = next((step.casefold() for step in reversed(path) if isinstance(step, str)), "")
        if name not in _PUBLIC and isinstance(node.value, str) and len(node.text) >= MIN_LENGTH:
            yield node.text


def _stretch(root: Node) -> tuple[int, int]:
    """Where the policy begins and ends: all of its source, or what it takes up of a file that holds more."""
    text, start = root.span.source.text, root.span.start
    if not _BEFORE.sub("", text[:start]):
        return 0, len(text)
    while text[start - 1] in " \t":
        start -= 1  # so that the first line stands as far in as the others
    end = max(node.span.end for node in _all(root) if node.span.source is root.span.source)
    return start, end


def _all(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children.values():
        yield from _all(child)


def _credentials(node: Node, path: Path) -> Iterator[tuple[Path, Node]]:
    """The scalars that stand where credentials do, and are not fetched from a vault, with their paths."""
    if not node.children:
        if _is_for_credentials(path) and not isinstance(node.value, dict | list) and not _FETCHED.fullmatch(node.text):
            yield path, node
        return
    for step, child in node.children.items():
        yield from _credentials(child, (*path, step))


def _is_for_credentials(path: Path) -> bool:
    names = [step.casefold() for step in path if isinstance(step, str)]
    return bool(names) and (bool(_CREDENTIAL.search(names[-1])) or (names[-2:-1] != [] and names[-2] in _HOLDING))
