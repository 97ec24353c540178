"""Names that Traffic Policy once had: what is unambiguous loads, and for the rest it is said what to write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# Action types by their old names.
RENAMED_TYPES: Final[Mapping[str, str]] = dict.fromkeys(
    ("webhook-verification", "webhook-validation"), "verify-webhook"
)

# Fields whose meaning changed with their name, and names that never were any but stand in guides, by the type of the
# action: they are refused with the name of today.
RENAMED_FIELDS: Final[Mapping[str, Mapping[str, str]]] = {
    "circuit-breaker": {"rolling_window": "window_duration", "error_threshold_percentage": "error_threshold"},
    "redirect": {"location": "to", "url": "to"},
    "url-rewrite": {"match": "from", "replace": "to"},
}

GONE: Final[Mapping[str, str]] = {
    "version": "`version` belongs to an agent file; a policy has none",
    "edges": "edges are no more: write what their modules did as rules of a policy",
    "tunnels": "this is an agent file of version 2; `ai-gateway import` makes policies of it",
    "modules": "edges and their modules are no more: write them as rules of a policy",
}
DISABLED: Final = "`enabled: false` switched a policy off, which is not possible any more; remove its rules"
ENABLED: Final = "`enabled` is no longer part of a policy and does nothing"
BOTH: Final = "`policy` and `traffic_policy` are the same thing; keep `traffic_policy`"
OLD_POLICY: Final = "`policy` is the old name of `traffic_policy`"
SEVERAL_DOCUMENTS: Final = (
    "a policy file holds one document, but here starts a second one; `ai-gateway import` takes files of several objects"
)
LITELLM: Final = "this is a configuration of LiteLLM; `ai-gateway import` makes a policy of it"
LIST_OF_OBJECTS: Final = "this is a list of objects; `ai-gateway import` makes policies of them"
