"""The policy document: what the YAML says, with the place of everything, and nothing about how it runs."""

from ai_gateway_mw.policy.data_file import load_data
from ai_gateway_mw.policy.document import Document, Node, Path
from ai_gateway_mw.policy.durations import Duration, duration_text, long_seconds, long_text, seconds
from ai_gateway_mw.policy.legacy import RENAMED_TYPES
from ai_gateway_mw.policy.loader import load_file, load_nodes, load_policy, policy_in
from ai_gateway_mw.policy.model import ActionConfig, ActionSpec, Phase, Policy, Rule
from ai_gateway_mw.policy.phrases import demand
from ai_gateway_mw.policy.problems import Problems
from ai_gateway_mw.policy.scalars import plain_scalar
from ai_gateway_mw.policy.schema import About, policy_schema
from ai_gateway_mw.policy.shapes import IN_KUBERNETES
from ai_gateway_mw.policy.text import ExpressionText, TemplateText, Text
from ai_gateway_mw.policy.validation import plain_templates, validated, validated_in_part

__all__ = [
    "IN_KUBERNETES",
    "RENAMED_TYPES",
    "About",
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
    "demand",
    "duration_text",
    "load_data",
    "load_file",
    "load_nodes",
    "load_policy",
    "long_seconds",
    "long_text",
    "plain_scalar",
    "plain_templates",
    "policy_in",
    "policy_schema",
    "seconds",
    "validated",
    "validated_in_part",
]
