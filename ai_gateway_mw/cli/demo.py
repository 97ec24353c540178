"""The demo: a real local model behind the gateway, and one answer that came through a failover.

Two model servers take different keys; the policy's key for the first is one that it refuses. Needs the extra `demo`.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, NoReturn

from ai_gateway_mw.cli.local_model import MODEL, LocalModel, LocalModelUnavailable, model_file
from ai_gateway_mw.cli.progress import progress
from ai_gateway_mw.cli.ready_policies import ready_policy
from ai_gateway_mw.keys import generate
from ai_gateway_mw.middleware import Gateway
from ai_gateway_mw.secrets import VARIABLE_PREFIX, EnvSource, SecretStore

QUESTION: Final = "Why is the sky blue? Answer in two sentences."
_MAX_TOKENS: Final = 150
_FAILED_OVER: Final = "Attempt 1 went to `first`, which refused its key; attempt 2 was served by `second`."
_NO_FAILOVER: Final = "There was to be a second attempt, served by `second`; that is not what happened."


def run_demo(once: bool = False) -> int:
    """Run it and return the exit code: 0 once the model has answered through a failover."""
    try:
        import openai  # noqa: F401 - of the extra `demo`, which the other commands do without
        import uvicorn  # noqa: F401
    except ImportError as missing:
        print(f"{missing.name} is not installed; do: pip install 'ai-gateway-mw[demo]'", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, _end)
    try:
        model_file()  # before anything is started or said
        with ExitStack() as stack:
            return _demo(stack, once=once)
    except LocalModelUnavailable as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
        return 0


def _demo(stack: ExitStack, *, once: bool) -> int:
    keys = {name: f"sk-local-{secrets.token_hex(16)}" for name in ("first", "second")}
    with progress(f"Starting two servers of a small language model ({MODEL}) on this machine"):
        models = {name: stack.enter_context(LocalModel(key)) for name, key in keys.items()}
    gateway_key = generate()
    gateway = _gateway(models, gateway_key=gateway_key, second_key=keys["second"])
    url = stack.enter_context(_serving(gateway))
    for name, model in models.items():
        print(f"  {name:8} {model.address}")
    print(f"  gateway  {url}  with the policy {os.path.relpath(ready_policy('demo'))}")
    print(f"\nA new gateway key, shown once:\n  export GATEWAY_KEY={gateway_key}\n")
    if not _ask(url, gateway_key):
        return 1
    if not once:
        print(_invitation(url), flush=True)
        threading.Event().wait()
    return 0


def _gateway(models: dict[str, LocalModel], *, gateway_key: str, second_key: str) -> Gateway:
    """What `ai-gateway run policies/demo.yaml` would make with these variables set."""
    environment = {
        f"{VARIABLE_PREFIX}DEMO__GATEWAY_KEY": gateway_key,
        f"{VARIABLE_PREFIX}DEMO__FIRST_KEY": "sk-local-revoked-last-week",
        f"{VARIABLE_PREFIX}DEMO__SECOND_KEY": second_key,
    }
    hosts = ",".join(f"{name}.internal={model.address.partition('//')[2]}" for name, model in models.items())
    return Gateway.from_file(ready_policy("demo"), secrets=SecretStore([EnvSource(environment)]), hosts=hosts)


def _ask(url: str, key: str) -> bool:
    """One streamed answer through the OpenAI SDK; whether it came, and after a failover."""
    import openai

    print(f"You:    {QUESTION}\nModel:  ", end="", flush=True)
    http = openai.DefaultHttpxClient(trust_env=False)  # a proxy of the environment would not know our loopback
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, http_client=http, max_retries=0) as client:
        try:
            answer = client.chat.completions.with_raw_response.create(
                model=MODEL,
                messages=[{"role": "user", "content": QUESTION}],
                max_tokens=_MAX_TOKENS,
                temperature=0,
                stream=True,
            )
            words = 0
            for chunk in answer.parse():
                piece = chunk.choices[0].delta.content if chunk.choices else None
                words += bool(piece)
                print(piece or "", end="", flush=True)
        except openai.APIError as error:
            print(f"\nThe gateway answered with an error: {error}", file=sys.stderr)
            return False
    provider, attempts = answer.headers.get("x-gateway-provider"), answer.headers.get("x-gateway-attempts")
    failed_over = provider == "second" and attempts == "2"
    print("\n\n" + (_FAILED_OVER if failed_over else _NO_FAILOVER))
    print(f"  (x-gateway-attempts: {attempts}, x-gateway-provider: {provider})", flush=True)
    return words > 0 and failed_over


def _invitation(url: str) -> str:
    return f"""
Now it is yours, until Ctrl-C. In another terminal, with GATEWAY_KEY set as above:
  curl {url}/v1/chat/completions \\
    -H "Authorization: Bearer $GATEWAY_KEY" -H "Content-Type: application/json" \\
    -d '{{"model": "{MODEL}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'
"""


@contextmanager
def _serving(gateway: Gateway) -> Iterator[str]:
    """The gateway on a free port, served by uvicorn in a thread."""
    import uvicorn

    logging.getLogger("ai_gateway_mw").setLevel(logging.ERROR)  # no warnings in the middle of the answer
    with socket.create_server(("127.0.0.1", 0)) as sock:
        server = uvicorn.Server(uvicorn.Config(gateway.app, log_level="error", timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, args=([sock],), name="gateway", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _end(*_: object) -> NoReturn:
    raise KeyboardInterrupt
