"""Event streams as rules see them: message by message, and their text across messages."""

from ai_gateway_mw.streams.deltas import Delta, deltas
from ai_gateway_mw.streams.message import MAX_MESSAGE, EventMessage, MessageCutter, MessageTooLong
from ai_gateway_mw.streams.said import Answered
from ai_gateway_mw.streams.windows import Windows, edited_message

__all__ = [
    "MAX_MESSAGE",
    "Answered",
    "Delta",
    "EventMessage",
    "MessageCutter",
    "MessageTooLong",
    "Windows",
    "deltas",
    "edited_message",
]
