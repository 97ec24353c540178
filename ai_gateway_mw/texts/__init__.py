"""Text that rules look at and change: what a prompt says, what is found in a body, what takes its place."""

from ai_gateway_mw.texts.media import charset_of, is_text, media_type_of
from ai_gateway_mw.texts.members import edited_strings
from ai_gateway_mw.texts.presets import GROUPS, PRESETS, Preset, preset_names
from ai_gateway_mw.texts.prompts import Said, said
from ai_gateway_mw.texts.replacing import (
    Found,
    Replacer,
    TooManyMatches,
    all_replaced,
    expander,
    found_result,
    replaced,
)

__all__ = [
    "GROUPS",
    "PRESETS",
    "Found",
    "Preset",
    "Replacer",
    "Said",
    "TooManyMatches",
    "all_replaced",
    "charset_of",
    "edited_strings",
    "expander",
    "found_result",
    "is_text",
    "media_type_of",
    "preset_names",
    "replaced",
    "said",
]
