"""Finds out what a file is, and has it imported."""

from __future__ import annotations

import json
from pathlib import Path

from ai_gateway_mw.compiler import compile_policy
from ai_gateway_mw.errors import Place, PolicyError
from ai_gateway_mw.imports.kubernetes import import_objects
from ai_gateway_mw.imports.litellm import import_litellm
from ai_gateway_mw.imports.ngrok import import_agent, import_policy
from ai_gateway_mw.imports.policies import with_any_names
from ai_gateway_mw.imports.result import Imported, ImportedPolicy, unknown_file
from ai_gateway_mw.policy import Node, load_nodes, load_policy
from ai_gateway_mw.stores import Stores

_LITELLM = frozenset({"model_list", "litellm_settings", "router_settings", "general_settings"})
_PHASES = frozenset({"on_tcp_connect", "on_http_request", "on_http_response", "on_event_stream_message"}) | {
    "inbound",
    "outbound",
}
_KNOWN = (
    "this is none of the files that can be imported: an ngrok agent configuration, Kubernetes objects "
    "(NgrokTrafficPolicy, CloudEndpoint, AgentEndpoint), a LiteLLM config.yaml, or a policy"
)


def import_file(path: Path, stores: Stores) -> Imported:
    """The policies of a configuration file. Raises `PolicyError` where it cannot be read, or is nothing known."""
    imported = _imported(path, stores)
    imported.policies = [policy for policy in imported.policies if _loads(policy, imported, stores, path)]
    written = json.dumps([policy.data for policy in imported.policies], ensure_ascii=False)
    imported.secrets = [secret for secret in imported.secrets if f"'{secret.name}'" in written]
    return imported


def _loads(policy: ImportedPolicy, imported: Imported, stores: Stores, path: Path) -> bool:
    """Whether a policy loads as it would be written; each of its parts did, but together they may not."""
    try:
        compile_policy(load_policy(policy.data, strict=False), with_any_names(stores))
    except PolicyError as error:
        said = next(problem.message for problem in error.problems if problem.severity == "error")
        imported.remark(Place(str(path), 1, 1), f"the policy of {policy.about} cannot be written: {said}")
        return False
    return True


def _imported(path: Path, stores: Stores) -> Imported:
    nodes = load_nodes(path)
    if not nodes:
        raise unknown_file(f"{path}: this file is empty", Place(str(path), 1, 1))
    if any({"kind", "apiVersion"} & keys(node) for node in nodes):
        return import_objects(nodes, stores)
    root = nodes[0]
    if len(nodes) > 1:
        raise unknown_file("of these files, only those of Kubernetes may hold more than one document", nodes[1].place)
    if keys(root) & _LITELLM:
        return import_litellm(root, stores)
    if {"endpoints", "tunnels"} & keys(root) or {"version", "agent", "authtoken"} & keys(root):
        return import_agent(root, path, stores)
    if keys(root) & _PHASES or "traffic_policy" in keys(root):
        return import_policy(root, path, stores)
    raise unknown_file(_KNOWN, root.place)


def keys(node: Node) -> set[str]:
    return set(map(str, node.children)) if isinstance(node.value, dict) else set()
