"""Internal upstreams: what URLs call `name.internal`, by the setting `INTERNAL` or as apps that Python hands in."""

from __future__ import annotations

from collections.abc import Mapping

from ai_gateway_mw.asgi import ASGIApp
from ai_gateway_mw.errors import closest
from ai_gateway_mw.hosts import INTERNAL, internal_name


class Internal:
    """The upstreams of one gateway by their names; an app counts before a URL of the same name."""

    def __init__(self, urls: Mapping[str, str], apps: Mapping[str, ASGIApp]) -> None:
        """Raises ValueError for an app whose name is none."""
        self.urls = urls
        self.apps = {internal_name(name): app for name, app in apps.items()}

    def __bool__(self) -> bool:
        return bool(self.apps or self.urls)

    def __contains__(self, name: str) -> bool:
        return name in self.apps or name in self.urls

    def meant(self, name: str) -> str:
        """The name that was probably meant, as a host, or an empty string."""
        known = closest(name, [*self.apps, *self.urls])
        return known and known + INTERNAL


def name_of(host: str) -> str | None:
    """The name of an internal upstream in a host; None where that is no such host."""
    host = host.lower().removesuffix(".")
    return host.removesuffix(INTERNAL) if host.endswith(INTERNAL) and host != INTERNAL else None
