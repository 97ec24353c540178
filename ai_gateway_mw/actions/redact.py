"""`redact`: take personal data and credentials out of what passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import Field, field_validator

from ai_gateway_mw.actions.bodies import edit_answer, edit_request
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import closest
from ai_gateway_mw.policy import ActionConfig, Phase
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.texts import GROUPS, PRESETS, Preset, Replacer, edited_strings, preset_names, replaced

_REACH: Final = 8192  # bytes of a text in pieces: a private key is that long
_KNOWN: Final = (*GROUPS, *PRESETS)


class Redact:
    """Replace what presets find in the text of a request, of an answer, or of a stream: the phase says which. Strings
    of JSON are looked at one by one, unescaped; its other bytes stay."""

    name = "redact"
    phases = frozenset({Phase.ON_HTTP_REQUEST, Phase.ON_HTTP_RESPONSE, Phase.ON_EVENT_STREAM_MESSAGE})

    class Config(ActionConfig):
        presets: tuple[str, ...] = Field(
            ("pii", "secrets"),
            min_length=1,
            description=f"What to look for: {', '.join(f'`{name}`' for name in _KNOWN)}; the first two are groups.",
        )
        replacement: str = Field(
            "[$preset]",
            max_length=256,
            description="What takes the place of each find; `$preset` is the name of what was found.",
        )

        @field_validator("presets")
        @classmethod
        def _are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
            for name in names:
                if name not in _KNOWN:
                    hint = closest(name, _KNOWN)
                    meant = f"did you mean `{hint}`?" if hint else f"there are {', '.join(_KNOWN)}"
                    raise ValueError(f"`{name}` is no preset; {meant}")
            return names

        @field_validator("replacement")
        @classmethod
        def _fits_everywhere(cls, text: str) -> str:
            if any(character in '"\\' or not character.isprintable() for character in text):
                raise ValueError("may hold no quotes, backslashes or control characters: JSON in a text must stay JSON")
            return text

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self.edits_answers = runtime.phase is Phase.ON_HTTP_RESPONSE
        reach = _REACH if runtime.phase is Phase.ON_EVENT_STREAM_MESSAGE else 0
        self._names = preset_names(config.presets)
        self._replacers = [
            Replacer(preset.pattern, _expand(preset, config.replacement), self.name, index, reach)
            for index, preset in enumerate(PRESETS[name] for name in self._names)
        ]

    async def __call__(self, ctx: Context) -> None:
        if ctx.stream is not None and ctx.phase is Phase.ON_EVENT_STREAM_MESSAGE:
            ctx.stream.wanted += self._replacers
            return
        counts: dict[str, int] = {}
        edit = self._edit(counts)
        if ctx.phase is Phase.ON_HTTP_REQUEST:
            await edit_request(ctx, edit)
        else:
            await edit_answer(ctx, edit, self.name)
        ctx.publish_ours(self.name, redacted(counts))

    def _edit(self, counts: dict[str, int]) -> Callable[[bytes], bytes]:
        def in_text(text: bytes) -> bytes:
            for name, replacer in zip(self._names, self._replacers, strict=True):
                text, first = replaced(text, replacer)
                if first is not None:
                    counts[name] = counts.get(name, 0) + 1
            return text

        def edit(body: bytes) -> bytes:
            return edited_strings(body, in_text) if body.lstrip()[:1] in (b"{", b"[") else in_text(body)

        return edit


def redacted(counts: Mapping[str, int]) -> dict[str, Any]:
    """The result: which presets have found something, and in how many texts; never what."""
    return {"found": bool(counts), "presets": sorted(counts), "texts": dict(counts)}


def _expand(preset: Preset, replacement: str) -> Callable[[Any], bytes | None]:
    by = replacement.replace("$preset", preset.name).encode()

    def expand(match: Any) -> bytes | None:
        text: bytes = match.group()
        length = preset.check(text)
        return by + text[length:] if length else None

    return expand
