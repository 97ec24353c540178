"""Settings of the process, beside its policy: read once, and checked as a whole before anything begins."""

from ai_gateway_mw.settings.names import PREFIX, SettingsError
from ai_gateway_mw.settings.settings import Described, Settings

__all__ = ["PREFIX", "Described", "Settings", "SettingsError"]
