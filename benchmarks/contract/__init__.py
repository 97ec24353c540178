"""The promises of the failover contract, each shown by a command: `python -m benchmarks.contract p1`.

A campaign starts the real `ai-gateway run`, puts providers on real ports behind it that fail in every way, asks it as a
client would, and compares what the client saw with what the providers wrote down.
"""
