"""What the find-replace actions have in common: their replacements, made ready, and bodies that are edited as text."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Sequence

from pydantic import Field

from ai_gateway_mw.cel import EvaluationError, Template, bad_pattern
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import BodyNotEdited, BodyUnreadable, ReplacementFailed, ReplacementMalformed
from ai_gateway_mw.policy import ActionConfig, TemplateText
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.texts import Found, Replacer, TooManyMatches, all_replaced, charset_of, expander

Edit = Callable[[bytes], bytes]


class Replacement(ActionConfig):
    """One thing to look for, and what takes its place."""

    from_: TemplateText = Field(
        alias="from", description="A regular expression (RE2) that is looked for everywhere; may hold templates."
    )
    to: TemplateText = Field(
        TemplateText(""),
        description="What takes the place of each match; may hold templates, `$1` and `$name` for groups of the "
        "expression, and `$$`. Nothing, where it is left out.",
    )


class Replacements:
    """The replacements of one action, in order; what does not change from exchange to exchange is compiled once."""

    def __init__(
        self,
        written: Sequence[Replacement],
        runtime: Runtime,
        action: str,
        *,
        public: bool,
        reach: int = 0,
        field: str = "replacements",
    ) -> None:
        self._action = action
        self._reach = reach
        self._redact = runtime.secrets.redact if public else str
        self._made: list[Replacer | tuple[int, Template, Template]] = []
        for index, each in enumerate(written):
            pattern = runtime.template(each.from_)
            to = runtime.template(each.to, public=public)
            if not each.from_:
                runtime.problem("`from` must say what is looked for", field=(field, index, "from"))
            elif pattern.constant and (fault := bad_pattern(pattern.render(None))):
                runtime.problem(fault, field=(field, index, "from"))
            elif pattern.constant and to.constant:
                self._made.append(self._replacer(index, pattern.render(None), to.render(None)))
            else:
                self._made.append((index, pattern, to))

    def of(self, ctx: Context) -> list[Replacer]:
        """Ready for one exchange. Raises `ReplacementFailed`, `ReplacementMalformed`."""
        return [each if isinstance(each, Replacer) else self._rendered(ctx, *each) for each in self._made]

    def edit(self, ctx: Context) -> tuple[Edit, list[Found]]:
        """What edits a body in one exchange, and the list to which it adds what it has found. Raises as `of` does."""
        found: list[Found] = []
        replacers = self.of(ctx)

        def edit(text: bytes) -> bytes:
            made, here = all_replaced(text, replacers)
            found.extend(here)
            return made

        return edit, found

    def _rendered(self, ctx: Context, index: int, pattern: Template, to: Template) -> Replacer:
        try:
            looked_for, by = pattern.render(ctx), self._redact(to.render(ctx))
        except EvaluationError as error:
            raise ReplacementFailed(f"{self._action}, replacement {index}: {error}") from None
        if fault := bad_pattern(looked_for) or ("" if looked_for else "it is empty"):
            raise ReplacementMalformed(f"{self._action}, replacement {index}: {fault}")
        return self._replacer(index, looked_for, by)

    def _replacer(self, index: int, pattern: str, to: str) -> Replacer:
        return Replacer(pattern, expander(to), self._action, index, self._reach)


def edited_text(body: bytes, content_type: bytes, edit: Edit, *, most: int) -> bytes:
    """A body with its text edited, in the characters that it came in. Raises `BodyNotEdited`."""
    try:
        charset = charset_of(content_type)
        text = body if charset in ("utf-8", "ascii") else body.decode(charset).encode()
    except (LookupError, ValueError):
        raise BodyUnreadable("the characters of the body are not those that its Content-Type names") from None
    try:
        made = edit(text)
    except TooManyMatches:
        raise BodyNotEdited("there are too many matches") from None
    if made is text:
        return body
    if len(made) > most:
        raise BodyNotEdited(f"it would be longer than {most} bytes")
    if charset in ("utf-8", "ascii"):
        return made
    try:
        return made.decode().encode(charset)
    except UnicodeError:
        raise BodyNotEdited(f"what takes the place of a match cannot be said in {charset}") from None


def check_json(before: bytes, after: bytes) -> None:
    """Raises `BodyNotEdited` where JSON is none any more: nobody could read it, and nobody knew why."""
    if after is not before and _is_json(before) and not _is_json(after):
        raise BodyNotEdited("the body was JSON, and is none any more")


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def unpacked(body: bytes, encodings: Sequence[bytes], most: int) -> bytes:
    """A body without its content codings (RFC 9110 8.4.1). Raises `BodyUnreadable`, also for one that is too large."""
    for encoding in reversed([one.strip().lower() for each in encodings for one in each.split(b",") if one.strip()]):
        if encoding == b"identity":
            continue
        window = {b"gzip": 31, b"x-gzip": 31, b"deflate": 47}.get(encoding)
        if window is None:
            raise BodyUnreadable(f"content coding {encoding.decode('latin-1')} is not read here")
        body = _inflated(body, window, most)
    return body


def _inflated(body: bytes, window: int, most: int) -> bytes:
    inflater = zlib.decompressobj(window)
    try:
        made = inflater.decompress(body, most + 1)
    except (zlib.error, gzip.BadGzipFile):
        raise BodyUnreadable("the body is not what its content coding says") from None
    if len(made) > most or not inflater.eof or inflater.unused_data:
        raise BodyUnreadable("the body is too large, or not what its content coding says")
    return made
