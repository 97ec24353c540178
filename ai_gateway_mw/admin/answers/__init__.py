"""What the admin plane answers, as OpenAPI tells of it; a test holds the answers to it. One module for each module of
operations beside it."""

from ai_gateway_mw.admin.answers.answer import Error, OpenAPI
from ai_gateway_mw.admin.answers.audit import AuditEntries, Verdict
from ai_gateway_mw.admin.answers.explaining import Explanation
from ai_gateway_mw.admin.answers.keys import CreatedKey, Key, Keys, RevokedKey
from ai_gateway_mw.admin.answers.system import Health, PolicyInForce, PolicyVerdict
from ai_gateway_mw.admin.answers.usage import Callers, Incident, UsageByDay, UsageByKey, UsageByModel

__all__ = [
    "AuditEntries",
    "Callers",
    "CreatedKey",
    "Error",
    "Explanation",
    "Health",
    "Incident",
    "Key",
    "Keys",
    "OpenAPI",
    "PolicyInForce",
    "PolicyVerdict",
    "RevokedKey",
    "UsageByDay",
    "UsageByKey",
    "UsageByModel",
    "Verdict",
]
