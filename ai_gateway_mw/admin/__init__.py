"""The admin plane: what those who look after the gateway may ask and do over HTTP. An app of its own, over the services
that the commands use."""

from ai_gateway_mw.admin.app import AdminApp
from ai_gateway_mw.admin.openapi import document
from ai_gateway_mw.admin.operations import PREFIX, Operation, Permission, Principal
from ai_gateway_mw.admin.table import operations

__all__ = ["PREFIX", "AdminApp", "Operation", "Permission", "Principal", "document", "operations"]
