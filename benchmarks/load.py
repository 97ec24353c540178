"""A load of HTTP requests from one event loop, each connection asking again as soon as it was answered."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Measured:
    """What a round of load has seen; seconds each request took, in order of size."""

    seconds: float
    latencies: tuple[float, ...]

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        return self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * share))]


def request(path: str, body: bytes, fields: dict[str, str]) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: benchmark.test", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def run(url: str, message: bytes, *, connections: int, seconds: float) -> Measured:
    """Send the same request over so many connections for so long. Raises `RuntimeError` for any answer but 200."""
    return asyncio.run(_run(url, message, connections, seconds))


async def _run(url: str, message: bytes, connections: int, seconds: float) -> Measured:
    begun = time.perf_counter()
    until = begun + seconds
    rounds = await asyncio.gather(*(_connection(url, message, until) for _ in range(connections)))
    elapsed = time.perf_counter() - begun
    return Measured(elapsed, tuple(sorted(latency for one in rounds for latency in one)))


async def _connection(url: str, message: bytes, until: float) -> list[float]:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    latencies = []
    try:
        while (sent := time.perf_counter()) < until:
            writer.write(message)
            await _response(reader)
            latencies.append(time.perf_counter() - sent)
    finally:
        writer.close()
    return latencies


async def _response(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise RuntimeError(f"the server answered {head[:200]!r}")
    _, found, rest = head.partition(b"content-length: ")
    if found:
        await reader.readexactly(int(rest.partition(b"\r\n")[0]))
        return
    while size := int(await reader.readuntil(b"\r\n"), 16):
        await reader.readexactly(size + 2)
    await reader.readexactly(2)
