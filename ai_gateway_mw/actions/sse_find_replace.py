"""`sse-find-replace`: change the messages of an event stream as they pass."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from ai_gateway_mw.actions.replacing import Replacement, Replacements
from ai_gateway_mw.cel import EvaluationError
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import BodyNotEdited, ReplacementFailed
from ai_gateway_mw.policy import ActionConfig, Phase, TemplateText
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.texts import Found, TooManyMatches, found_result, replaced

_FIELDS: Final = ("data", "retry")


class _Replacement(Replacement):
    field: TemplateText = Field(
        TemplateText("data"), description="The field of the message: `data` or `retry`; may hold templates."
    )


class SSEFindReplace:
    """Replace what regular expressions match in each message; or, with `across_messages`, in the text that the
    messages bring piece by piece."""

    name = "sse-find-replace"
    phases = frozenset({Phase.ON_EVENT_STREAM_MESSAGE})

    class Config(ActionConfig):
        replacements: tuple[_Replacement, ...] = Field(
            min_length=1, description="Replacements in order, each on what the one before has made."
        )
        across_messages: int | None = Field(
            None,
            ge=1,
            le=16_384,
            description="Match the text that messages bring piece by piece as if it were in one; of it, at most so "
            "many bytes are held back, for as long as they may yet become a match. Not part of Traffic Policy.",
        )

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self._across = config.across_messages is not None
        self._replacements = Replacements(
            config.replacements, runtime, self.name, public=True, reach=config.across_messages or 0
        )
        self._fields = [runtime.template(each.field) for each in config.replacements]
        for index, template in enumerate(self._fields):
            known = ("data",) if self._across else _FIELDS
            if template.constant and template.render(None) not in known:
                message = f"expected {' or '.join(f'`{name}`' for name in known)}"
                across = " where matches go across messages" if self._across else ""
                runtime.problem(message + across, field=("replacements", index, "field"))

    async def __call__(self, ctx: Context) -> None:
        assert ctx.stream is not None
        replacers = self._replacements.of(ctx)
        if self._across:
            ctx.stream.wanted += replacers
            return
        message, found = ctx.stream.message, []
        for replacer, template in zip(replacers, self._fields, strict=True):
            field = self._field(template.render, ctx)
            if not message.get(field):
                continue
            try:
                before = message.get(field).encode("utf-8", "surrogateescape")
                after, first = replaced(before, replacer)
            except TooManyMatches:
                raise BodyNotEdited(f"{self.name}: there are too many matches") from None
            if first is not None:
                found.append(Found(replacer.index, first))
                message.put(field, after.decode("utf-8", "surrogateescape"))
        ctx.publish(self.name, found_result(found))

    def _field(self, render: object, ctx: Context) -> str:
        try:
            name = str(render(ctx))  # type: ignore[operator]
        except EvaluationError as error:
            raise ReplacementFailed(f"{self.name}, field: {error}") from None
        if name not in _FIELDS:
            raise ReplacementFailed(f"{self.name}: a message has no field `{name}` to change")
        return name
