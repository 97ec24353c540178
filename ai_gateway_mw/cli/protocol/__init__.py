"""HTTP/1.1 as `ai-gateway run` speaks it with clients: strict, bounded in time and size, with little work to a request.

uvicorn makes the connections, counts them, and tells them when the server ends; all that is on them is done here.
"""

from ai_gateway_mw.cli.protocol.limits import Limits
from ai_gateway_mw.cli.protocol.service import HttpProtocol

__all__ = ["HttpProtocol", "Limits"]
