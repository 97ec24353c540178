"""What workers are forked from imports this, and has done by that what each of them would do first: made the tables of
the CEL parser, the models of configs, the catalogue of providers. For this alone, importing does something."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from ai_gateway_mw.middleware import Gateway

POLICY: Final = """\
on_http_request:
  - expressions: [req.method == 'POST']
    actions:
      - {type: gateway-auth}
      - {type: restrict-ips, config: {allow: [127.0.0.0/8]}}
      - type: ai-gateway
        config:
          api_key_selection: {strategy: [ai.keys.randomize()]}
          providers: [{id: openai, api_keys: [{value: "${secrets.get('openai', 'key')}"}]}]
"""

with suppress(Exception):  # whatever is wrong is wrong for the command as well, which says so
    Gateway.from_policy(POLICY)
