"""The policy document: what the YAML says, with the place of everything, and nothing about how it runs."""

from .document import Document, Node, Path
from .durations import Duration, duration_text, seconds
from .loader import load_file, load_policy
from .model import ActionConfig, ActionSpec, Phase, Policy, Rule
from .problems import Problems
from .schema import policy_schema
from .text import ExpressionText, TemplateText, Text
from .validation import validated

__all__ = [
    "ActionConfig",
    "ActionSpec",
    "Document",
    "Duration",
    "ExpressionText",
    "Node",
    "Path",
    "Phase",
    "Policy",
    "Problems",
    "Rule",
    "TemplateText",
    "Text",
    "duration_text",
    "load_file",
    "load_policy",
    "policy_schema",
    "seconds",
    "validated",
]
