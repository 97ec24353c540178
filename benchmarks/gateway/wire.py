"""What the load and the mock provider agree on: the requests, and what is asked of an answer."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

PATH: Final = "/v1/chat/completions"
MODEL: Final = "gpt-4o-mini"
TOKEN: Final = "gw_sk_Ky9Pf34qY6Nb3wWD25RQ4F5ZR3qa7yEe0NYZUT"  # a gateway key of this benchmark only
_KIBIBYTE: Final = 1024
_ASKED: Final = re.compile(rb'"user": ?"events=(\d+) every=([\d.]+) size=(\d+)"')


@dataclass(frozen=True, slots=True)
class Stream:
    """An event stream to be asked for; it stands in the request's `user`, which every proxy hands on."""

    events: int
    every: float = 0.0
    """Seconds between two events; 0 for all at once."""
    size: int = 64
    """Bytes of text in each."""

    def __str__(self) -> str:
        return f"events={self.events} every={self.every} size={self.size}"


def asked(request: bytes) -> Stream | None:
    """The stream that a request asks for."""
    found = _ASKED.search(request)
    return Stream(int(found[1]), float(found[2]), int(found[3])) if found else None


def chat(*, prompt: int = _KIBIBYTE, stream: Stream | None = None) -> bytes:
    """A whole request, with a body of about so many bytes."""
    body: dict[str, object] = {"model": MODEL, "temperature": 0.7}
    if stream:
        body |= {"stream": True, "user": str(stream)}
    frame = len(json.dumps(body | {"messages": [{"role": "user", "content": ""}]}))
    text = ("word " * (prompt // 5 + 1))[: max(1, prompt - frame)]
    content = json.dumps(body | {"messages": [{"role": "user", "content": text}]}).encode()
    fields = {
        "host": "gateway.test",
        "user-agent": "benchmark/1",
        "accept": "*/*",
        "authorization": f"Bearer {TOKEN}",
        "content-type": "application/json",
        "content-length": str(len(content)),
    }
    lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + content
