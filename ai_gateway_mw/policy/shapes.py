"""Finds the policy in what was loaded: on its own, in an agent file, a Kubernetes object or a REST request."""

from __future__ import annotations

from collections.abc import Mapping

from ai_gateway_mw.errors import closest
from ai_gateway_mw.policy.document import Node, Path
from ai_gateway_mw.policy.legacy import BOTH, LIST_OF_OBJECTS, OLD_POLICY
from ai_gateway_mw.policy.model import Phase
from ai_gateway_mw.policy.problems import Problems
from ai_gateway_mw.policy.text import Source, Text
from ai_gateway_mw.policy.wording import listed
from ai_gateway_mw.policy.yaml_text import parse

LEGACY_PHASES = {"inbound": Phase.ON_HTTP_REQUEST, "outbound": Phase.ON_HTTP_RESPONSE}
PHASE_KEYS = frozenset([*(phase.value for phase in Phase), *LEGACY_PHASES])

_ENDPOINT_KEYS = frozenset({"traffic_policy", "traffic_policy_file", "policy"})
_OF_ENDPOINT = ("spec", "trafficPolicy")
IN_KUBERNETES: Mapping[str, tuple[Path, ...]] = {  # where an object of each kind may hold its policy
    "NgrokTrafficPolicy": (("spec", "policy"),),
    "AgentEndpoint": ((*_OF_ENDPOINT, "inline"),),
    "CloudEndpoint": ((*_OF_ENDPOINT, "policy"), (*_OF_ENDPOINT, "inline"), _OF_ENDPOINT),
}


def policy_node(root: Node, problems: Problems, endpoint: str | None = None) -> Node:
    """The node that holds the phases; `endpoint` chooses among those of an agent file. Stops where there is none."""
    keys = root.children.keys()
    alone = not isinstance(root.value, dict) or bool(keys & PHASE_KEYS)
    if endpoint is not None and (alone or "endpoints" not in keys):
        raise problems.fatal(f"endpoint `{endpoint}` was asked for, but this is not an agent file", root.place)
    if alone:
        return root
    if keys & {"apiVersion", "kind"}:
        return embedded(_in_kubernetes_object(root, problems), problems)
    if "endpoints" in keys:
        return embedded(_in_agent_file(root.children["endpoints"], problems, endpoint), problems)
    if keys & {"traffic_policy", "policy"}:
        return embedded(_under_either_name(root, problems), problems)
    return root


def _under_either_name(holder: Node, problems: Problems) -> Node:
    """What stands under `traffic_policy`, or under its old name."""
    if "policy" not in holder.children:
        return holder.children["traffic_policy"]
    place = holder.key_place("policy")
    if "traffic_policy" in holder.children:
        raise problems.fatal(BOTH, place)
    problems.warning(OLD_POLICY, place)
    return holder.children["policy"]


def embedded(node: Node, problems: Problems) -> Node:
    """A policy inside another document may be a string of YAML or JSON; its places are still those of the file."""
    if not isinstance(node.value, Text):
        return node
    source = Source(node.place.file, str(node.value), origin=node.value)
    return parse(source, problems) or Node({}, node.span)


def _in_kubernetes_object(root: Node, problems: Problems) -> Node:
    kind = str(root.value.get("kind"))
    if kind not in IN_KUBERNETES:
        place = root.at(("kind",))[0].place
        if kind.endswith("List") and "items" in root.children:
            raise problems.fatal(LIST_OF_OBJECTS, place)
        hint = closest(kind, IN_KUBERNETES)
        raise problems.fatal(f"expected an object of kind {listed(IN_KUBERNETES)}", place, hint=hint)
    for path in IN_KUBERNETES[kind]:
        node, missing = root.at(path)
        if not missing:
            return node
    deepest, missing = root.at(IN_KUBERNETES[kind][0])
    if missing[0] == "spec" and "policy" in root.children:
        raise problems.fatal("`policy` belongs under `spec`; here Kubernetes drops it", root.key_place("policy"))
    raise problems.fatal(f"this {kind} holds no policy: `{missing[0]}` is missing", deepest.place)


def _in_agent_file(endpoints: Node, problems: Problems, wanted: str | None) -> Node:
    named = _by_name(endpoints)
    having = [name for name, node in named.items() if node.children.keys() & _ENDPOINT_KEYS]
    if not having:
        raise problems.fatal("no endpoint of this agent file has a `traffic_policy`", endpoints.place)
    if wanted is None and len(having) > 1:
        raise problems.fatal(f"several endpoints have a policy; choose {listed(having)}", endpoints.place)
    if wanted is not None and wanted not in named:
        raise problems.fatal(f"there is no endpoint `{wanted}`", endpoints.place, hint=closest(wanted, named))
    return _of_endpoint(wanted or having[0], named[wanted or having[0]], problems)


def _by_name(endpoints: Node) -> dict[str, Node]:
    """Endpoints by what `endpoint=` calls them: their name, else their URL; their number where that is not unique."""
    named: dict[str, Node] = {}
    for number, endpoint in enumerate(endpoints.items, 1):
        known = [str(endpoint.children[key].text) for key in ("name", "url") if key in endpoint.children]
        name = known[0] if known else ""
        named[name if name and name not in named else f"{name}#{number}"] = endpoint
    return named


def _of_endpoint(name: str, endpoint: Node, problems: Problems) -> Node:
    if "policy" in endpoint.children:
        return _under_either_name(endpoint, problems)
    if "traffic_policy_file" in endpoint.children:
        place = endpoint.key_place("traffic_policy_file")
        raise problems.fatal(f"the policy of endpoint `{name}` is in another file; load that one", place)
    if "traffic_policy" not in endpoint.children:
        raise problems.fatal(f"endpoint `{name}` has no `traffic_policy`", endpoint.place)
    return endpoint.children["traffic_policy"]
