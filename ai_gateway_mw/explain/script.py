"""What providers answer in a test: by key, candidate or provider, one answer after the other."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import httpx

from ai_gateway_mw.explain.doubles import canned
from ai_gateway_mw.explain.exchanges import Answer

Answers = int | Answer | Sequence[int | Answer]

_FAULTS: Final = {
    "refused": (httpx.ConnectError, "refused"),
    "timeout": (httpx.ReadTimeout, "no answer"),
    "reset": (httpx.ReadError, "reset"),
}


class Script:
    """The answers of one exchange."""

    def __init__(self, answers: Mapping[str, Answers]) -> None:
        self._answers = {name: _listed(each) for name, each in answers.items()}

    def answer(self, request: httpx.Request, names: Sequence[str]) -> httpx.Response:
        """What the first of these names has to say. Raises what stands for a failure."""
        for name in (*names, "*"):
            answers = self._answers.get(name)
            if answers:
                return _made(answers[0] if len(answers) == 1 else answers.pop(0), request)
        return canned(request)


def _listed(answers: Answers) -> list[int | Answer]:
    return [answers] if isinstance(answers, int | Answer) else list(answers)


def _made(answer: int | Answer, request: httpx.Request) -> httpx.Response:
    if isinstance(answer, int):
        answer = Answer(status=answer)
    if answer.fault in _FAULTS:
        kind, text = _FAULTS[answer.fault]
        raise kind(text, request=request)
    fields = {name: str(value) for name, value in answer.headers.items()}
    pieces, media_type = _body(answer, request)
    fields.setdefault("content-type", media_type)
    return httpx.Response(answer.status, headers=fields, stream=_Pieces(pieces, breaks=answer.fault == "break"))


def _body(answer: Answer, request: httpx.Request) -> tuple[list[bytes], str]:
    if answer.stream is not None:
        return [piece.encode() for piece in answer.stream], "text/event-stream"
    if isinstance(answer.body, str):
        return [answer.body.encode()], "text/plain; charset=utf-8"
    if answer.body is not None:
        return [json.dumps(answer.body).encode()], "application/json"
    if answer.status < 300:
        good = canned(request)
        return [good.content], good.headers["content-type"]
    return [json.dumps({"error": {"message": "No.", "code": None}}).encode()], "application/json"


class _Pieces(httpx.AsyncByteStream):
    """A body in pieces, which may break off after them."""

    def __init__(self, pieces: Sequence[bytes], *, breaks: bool) -> None:
        self._pieces, self._breaks = pieces, breaks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        if self._breaks:
            raise httpx.ReadError("broke off")

    async def aclose(self) -> None:
        """Nothing is open."""
