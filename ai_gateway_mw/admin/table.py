"""The operations of the admin plane: one row each, from which routes, checks and the OpenAPI document are made."""

from __future__ import annotations

from typing import Final

from ai_gateway_mw.admin import answers, audit, explaining, keys, metrics, system, usage
from ai_gateway_mw.admin.openapi import document
from ai_gateway_mw.admin.operations import Call, Operation, Permission, Text
from ai_gateway_mw.admin.refusals import json_answer
from ai_gateway_mw.keys.store import KeyChanges, NewKey
from ai_gateway_mw.replies import Reply

_NO_KEY: Final = {404: "There is no such key."}
_NAME: Final = {409: "A key in use has the name."}
_DEAD: Final = {**_NO_KEY, 409: "The key is not in use any more, or has a successor."}
_BUSY: Final = {503: "The database cannot be reached, or too many such requests run already."}
_POLICY: Final = Text(("application/yaml", "text/plain"), "A policy, in YAML or JSON.", 1024 * 1024)


def operations(explanations: explaining.Explanations | None = None) -> tuple[Operation, ...]:
    """All of them, for one app: what they count, they count for it."""
    explanations = explanations or explaining.Explanations()
    walks, checks, read = audit.Walks(), system.Checks(), Permission
    return (
        # Keys
        Operation(
            id="listKeys",
            method="GET",
            path="/keys",
            permission=read.KEYS_READ,
            summary="Keys, in the order in which they were made.",
            handler=keys.listed,
            query=keys.KeyListing,
            answer=answers.Keys,
        ),
        Operation(
            id="createKey",
            method="POST",
            path="/keys",
            permission=read.KEYS_WRITE,
            summary="Make a key. Its text is in this answer and nowhere else.",
            handler=keys.created,
            body=NewKey,
            answer=answers.CreatedKey,
            status=201,
            refusals=_NAME,
        ),
        Operation(
            id="getKey",
            method="GET",
            path="/keys/{id}",
            permission=read.KEYS_READ,
            summary="One key.",
            handler=keys.shown,
            answer=answers.Key,
            refusals=_NO_KEY,
        ),
        Operation(
            id="changeKey",
            method="PATCH",
            path="/keys/{id}",
            permission=read.KEYS_WRITE,
            summary="Change what is given, and nothing else.",
            handler=keys.changed,
            body=KeyChanges,
            answer=answers.Key,
            refusals={**_NO_KEY, 409: "A key in use has the name, or this one is not in use any more."},
        ),
        Operation(
            id="rotateKey",
            method="POST",
            path="/keys/{id}/rotate",
            permission=read.KEYS_WRITE,
            summary="Make a successor with the same rules; the old key works for the grace.",
            handler=keys.rotated,
            body=keys.Rotation,
            answer=answers.CreatedKey,
            status=201,
            refusals=_DEAD,
        ),
        Operation(
            id="revokeKey",
            method="POST",
            path="/keys/{id}/revoke",
            permission=read.KEYS_WRITE,
            summary="End a key now, and the streams that it has open.",
            handler=keys.revoked,
            body=keys.Revocation,
            answer=answers.RevokedKey,
            refusals=_DEAD,
        ),
        Operation(
            id="listCallers",
            method="GET",
            path="/keys/{id}/callers",
            permission=read.USAGE_READ,
            summary="Who used a key: addresses, and what clients call themselves.",
            handler=keys.callers,
            query=keys.CallersSince,
            answer=answers.Callers,
            refusals=_NO_KEY,
        ),
        Operation(
            id="getIncident",
            method="GET",
            path="/keys/{id}/incident",
            permission=read.USAGE_READ,
            summary="For a key that fell into wrong hands: how much it was used since, from where and for what.",
            handler=usage.of_incident,
            query=usage.SinceWhen,
            answer=answers.Incident,
            refusals=_NO_KEY,
        ),
        # Usage
        Operation(
            id="getUsageByKey",
            method="GET",
            path="/usage/keys",
            permission=read.USAGE_READ,
            summary="What each key used.",
            handler=usage.by_key,
            query=usage.Span,
            answer=answers.UsageByKey,
        ),
        Operation(
            id="getUsageByDay",
            method="GET",
            path="/usage/days",
            permission=read.USAGE_READ,
            summary="What was used on each day.",
            handler=usage.by_day,
            query=usage.Span,
            answer=answers.UsageByDay,
        ),
        Operation(
            id="getUsageByModel",
            method="GET",
            path="/usage/models",
            permission=read.USAGE_READ,
            summary="What was used of each model.",
            handler=usage.by_model,
            query=usage.Span,
            answer=answers.UsageByModel,
        ),
        # Audit
        Operation(
            id="listAudit",
            method="GET",
            path="/audit",
            permission=read.AUDIT_READ,
            summary="The audit log, newest first.",
            handler=audit.listed,
            query=audit.AuditListing,
            answer=answers.AuditEntries,
        ),
        Operation(
            id="verifyAudit",
            method="GET",
            path="/audit/verify",
            permission=read.AUDIT_READ,
            summary="Whether the audit log is what was written.",
            handler=walks.verified,
            query=audit.Saved,
            answer=answers.Verdict,
            refusals=_BUSY,
        ),
        Operation(
            id="exportAudit",
            method="GET",
            path="/audit/export",
            permission=read.AUDIT_READ,
            summary="The audit log, oldest first, one entry of JSON on each line.",
            handler=walks.exported,
            query=audit.AuditExport,
            answer=None,
            media_type=audit.LINES,
            refusals=_BUSY,
        ),
        # The gateway
        Operation(
            id="getHealth",
            method="GET",
            path="/health",
            permission=read.HEALTH_READ,
            summary="How the process that answers is.",
            handler=system.health,
            answer=answers.Health,
        ),
        Operation(
            id="getMetrics",
            method="GET",
            path="/metrics",
            permission=read.METRICS_READ,
            summary="What the process that answers has counted, as Prometheus reads it.",
            handler=metrics.shown,
            answer=None,
            media_type=metrics.MEDIA_TYPE,
        ),
        Operation(
            id="getPolicy",
            method="GET",
            path="/policy",
            permission=read.POLICY_READ,
            summary="The policy that is in force in the process that answers.",
            handler=system.policy,
            answer=answers.PolicyInForce,
        ),
        Operation(
            id="checkPolicy",
            method="POST",
            path="/policy/check",
            permission=read.POLICY_READ,
            summary="What is wrong with a policy. It is not put in force.",
            handler=checks.checked,
            body=_POLICY,
            answer=answers.PolicyVerdict,
            refusals=_BUSY,
        ),
        Operation(
            id="explainRequest",
            method="POST",
            path="/explain",
            permission=read.POLICY_EXPLAIN,
            summary="What would become of a request now, and why. Nothing is sent, counted or written.",
            handler=explanations.explained,
            body=explaining.Explained,
            answer=answers.Explanation,
            also_text=True,
            refusals={
                404: "There is no such key.",
                409: "A file that the policy refers to is not as it was when the policy was loaded.",
                503: "The database cannot be reached, or too many such requests run already.",
            },
        ),
        Operation(
            id="getOpenAPI",
            method="GET",
            path="/openapi.json",
            permission=read.HEALTH_READ,
            summary="This description.",
            handler=_described,
            answer=answers.OpenAPI,
        ),
    )


async def _described(call: Call) -> Reply:
    return json_answer(200, document(operations(), call.root))
