"""Laying one document over another: the policy over the catalogue, the user's data files over the packaged ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ai_gateway_mw.policy import ActionConfig
from ai_gateway_mw.providers.document import ModelDocument, ProviderDocument, SurfaceDocument
from ai_gateway_mw.providers.values import snapshot_of


def overlaid(base: ProviderDocument, over: ProviderDocument) -> ProviderDocument:
    """`base` with all that `over` says about it.

    Under a name of `base` it is that provider, called as `over` calls it; under any other it is one of its own, that
    works like `base`.
    """
    changes = {"id_aliases": over.id_aliases, **_said(over)}
    names = (base.id, *base.id_aliases)
    if over.id.casefold() in {name.casefold() for name in names}:
        changes["id"] = base.id if base.id.casefold() == over.id.casefold() else over.id
        own = changes["id"].casefold()
        changes["id_aliases"] = tuple(name for name in _united(names, over.id_aliases) if name.casefold() != own)
    changes["metadata"] = {**base.metadata, **over.metadata}
    changes["models"] = overlaid_models(base.models, over.models)
    changes["supported_api_surfaces"] = _overlaid_surfaces(base, over)
    return base.model_copy(update=changes)


def overlaid_models(base: Sequence[ModelDocument], over: Sequence[ModelDocument]) -> tuple[ModelDocument, ...]:
    """The models of `over`, with what `base` knows of them, then the rest of `base`. A name in `over` is gone below."""
    known = {name.casefold(): model for model in base for name in (*model.id_aliases, model.id)}
    taken = {name.casefold() for model in over for name in (model.id, *model.id_aliases)}
    rest = []
    for model in base:
        if model.id.casefold() not in taken:
            left = tuple(alias for alias in model.id_aliases if alias.casefold() not in taken)
            rest.append(model if left == model.id_aliases else model.model_copy(update={"id_aliases": left}))
    return (*(_overlaid_model(known.get(model.id.casefold()), model) for model in over), *rest)


def _overlaid_model(base: ModelDocument | None, over: ModelDocument) -> ModelDocument:
    if base is None:
        return over
    changes = _said(over)
    changes["metadata"] = {**base.metadata, **over.metadata}
    same = base.id.casefold() == over.id.casefold()
    names = {alias.casefold() for alias in over.id_aliases}
    if same or base.id.casefold() in names:
        changes["id_aliases"] = _united(base.id_aliases, over.id_aliases)
    if same:
        changes["id"] = base.id
    elif over.upstream_id is None:
        changes["upstream_id"] = snapshot_of(over.id, base.id_aliases) or base.upstream_id or base.id
    return base.model_copy(update=changes)


def _overlaid_surfaces(base: ProviderDocument, over: ProviderDocument) -> tuple[SurfaceDocument, ...]:
    """The formats that `over` lists, each with the ways that `base` has for it; all of `base` where it lists none."""
    moved = {"base_url": None} if over.base_url else {}  # the user's address is the address of every format
    ways = tuple(surface.model_copy(update=moved) for surface in base.supported_api_surfaces)
    by_endpoint = {(surface.format, surface.surface): surface for surface in reversed(ways)}
    by_format = {surface.format: surface for surface in reversed(ways)}
    surfaces = []
    for surface in over.supported_api_surfaces:
        way = by_endpoint.get((surface.format, surface.surface)) or by_format.get(surface.format)
        surfaces.append(_overlaid_surface(way, surface) if way else surface)
    return tuple(surfaces) or ways


def _overlaid_surface(base: SurfaceDocument, over: SurfaceDocument) -> SurfaceDocument:
    changes = _said(over)
    changes["surface"] = over.surface
    changes["fields"] = {**base.fields, **over.fields}
    changes["query"] = {**base.query, **over.query}
    if base.surface != over.surface:
        changes.setdefault("supported_params", ())
    return base.model_copy(update=changes)


def _said(document: ActionConfig) -> dict[str, Any]:
    """The fields that are written out; an empty one (null) says nothing."""
    written = {name: getattr(document, name) for name in document.model_fields_set}
    return {name: value for name, value in written.items() if value is not None}


def _united(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    """Both, without a name that differs from an earlier one in case only."""
    return tuple({name.casefold(): name for name in reversed((*first, *second))}.values())[::-1]
