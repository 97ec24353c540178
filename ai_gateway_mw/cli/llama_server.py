"""One llama.cpp server with an API key. A script of its own, run by `local_model.py`, since it logs from native code.

Reads its configuration as one line of JSON from standard input, prints its address once it listens, and ends when
standard input does: it cannot outlive the process that started it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import xllamacpp


def params(config: dict[str, Any]) -> xllamacpp.CommonParams:
    found = xllamacpp.CommonParams()
    found.model.path = config["path"]
    found.model_alias = {config["name"]}
    found.hostnames = ["127.0.0.1"]
    found.port = 0  # a free one; `listening_address` tells which
    found.api_keys = [config["key"]]
    found.n_ctx = 2048
    found.cpuparams.n_threads = config["threads"]
    return found


def main() -> None:
    server = xllamacpp.Server(params(json.loads(sys.stdin.readline())))
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
