"""What workers are forked from does beforehand."""

from __future__ import annotations

from ai_gateway_mw import Gateway
from ai_gateway_mw.cli import warming


def test_the_policy_that_warms_compiles() -> None:
    """A problem in it would be passed over in silence, and every worker would make everything anew."""
    gateway = Gateway.from_policy(warming.POLICY)
    assert gateway.program.secrets == {("openai", "key")}
