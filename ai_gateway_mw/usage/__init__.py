"""Usage: what requests cost, how much each gateway key used, and who used it.

`usage.store`, where it is kept, is imported by itself: it needs SQLAlchemy.
"""

from __future__ import annotations

from ai_gateway_mw.usage.figures import (
    Amount,
    Caller,
    DayUsage,
    Figures,
    KeyUsage,
    ModelUsage,
    Spent,
    dollars,
)
from ai_gateway_mw.usage.incident import Incident, incident
from ai_gateway_mw.usage.lists import ListPrice, PriceList, bundled_list, no_list
from ai_gateway_mw.usage.prices import DEAR, FREE, Price, Prices, UnknownPrice
from ai_gateway_mw.usage.recorder import UsageRecorder, UsageSink
from ai_gateway_mw.usage.rows import Batch, CallerRow, UsageRow, Used
from ai_gateway_mw.usage.sums import OTHER

__all__ = [
    "DEAR",
    "FREE",
    "OTHER",
    "Amount",
    "Batch",
    "Caller",
    "CallerRow",
    "DayUsage",
    "Figures",
    "Incident",
    "KeyUsage",
    "ListPrice",
    "ModelUsage",
    "Price",
    "PriceList",
    "Prices",
    "Spent",
    "UnknownPrice",
    "UsageRecorder",
    "UsageRow",
    "UsageSink",
    "Used",
    "bundled_list",
    "dollars",
    "incident",
    "no_list",
]
