"""Objects of ngrok's Kubernetes operator that hold a policy; all others are remarked on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ai_gateway_mw.imports.policies import PolicyImport, internal_upstreams, text_at
from ai_gateway_mw.imports.result import Imported, unknown_file
from ai_gateway_mw.policy import IN_KUBERNETES, Node, Path
from ai_gateway_mw.stores import Stores

# Where an endpoint may name a policy instead of holding one.
_NAMED: Final[tuple[Path, ...]] = (("spec", "trafficPolicy", "targetRef", "name"), ("spec", "trafficPolicyName"))
_ADDRESSES: Final = ("url", "upstream")


def import_objects(nodes: Sequence[Node], stores: Stores) -> Imported:
    """The policies of the objects in one file. Raises `PolicyError` where none has one."""
    imported = Imported("Kubernetes objects")
    objects = [each for node in nodes for each in _objects(node)]
    policies = PolicyImport(imported, stores, internal_upstreams(objects, ("spec", "url"), ("spec", "upstream", "url")))
    names = {text_at(each, ("metadata", "name")) for each in objects if _kind(each) == "NgrokTrafficPolicy"}
    for each in objects:
        _import(each, names, policies, imported)
    if not imported.policies and not imported.remarks:
        raise unknown_file("no object of this file holds a policy", nodes[0].place)
    return imported


def _objects(node: Node) -> Iterator[Node]:
    """The object, or those of a list of objects."""
    if _kind(node).endswith("List") and "items" in node.children:
        for item in node.children["items"].items:
            yield from _objects(item)
    else:
        yield node


def _import(node: Node, names: set[str], policies: PolicyImport, imported: Imported) -> None:
    kind, name = _kind(node), text_at(node, ("metadata", "name")) or "unnamed"
    if kind not in IN_KUBERNETES:
        place = node.at(("kind",))[0].place
        imported.remark(place, f"{kind or 'this object'} `{name}` holds no policy", "routes belong to the app or proxy")
        return
    for field in _ADDRESSES:
        at, missing = node.at(("spec", field))
        if not missing:
            imported.remark(at.place, f"`{field}` of {name} has no meaning here", _instead(field))
    held = next(
        (at for path in IN_KUBERNETES[kind] for at, missing in [node.at(path)] if not missing and at.value), None
    )
    named = next((at for path in _NAMED for at, missing in [node.at(path)] if not missing and at.text), None)
    if named is not None:
        if str(named.text) not in names:
            message = f"the policy `{named.text}` is not in this file"
            imported.remark(named.place, message, "import the file that has it, too")
    elif held is None and "policy" in node.children:
        place = node.key_place("policy")
        imported.remark(
            place, f"`policy` of {kind} `{name}` was left out", "move it under `spec`: Kubernetes drops it here"
        )
    elif held is None:
        imported.remark(node.place, f"{kind} `{name}` has no policy")
    elif policy := policies.carried(held):
        imported.add(name, policy, f"{kind} {name}")
    else:
        imported.remark(held.place, f"nothing of the policy of {kind} `{name}` was left to write")


def _instead(field: str) -> str:
    if field == "url":
        return "serve the policy under that name: `ai-gateway run`, behind your own ingress"
    return "put the gateway around the app that listens there, or name it as the `base_url` of a provider"


def _kind(node: Node) -> str:
    return text_at(node, ("kind",))
