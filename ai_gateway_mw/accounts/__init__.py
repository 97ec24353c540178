"""Gateway keys at work: from the key that a request brings to what it has used at its end."""

from ai_gateway_mw.accounts.account import Account
from ai_gateway_mw.accounts.accounts import Accounts
from ai_gateway_mw.accounts.sources import DeclaredKey, DeclaredKeys, Keys, StoredKeys

__all__ = ["Account", "Accounts", "DeclaredKey", "DeclaredKeys", "Keys", "StoredKeys"]
