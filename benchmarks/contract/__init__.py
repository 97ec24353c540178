"""The promises of the failover contract and of gateway keys, each with a command that shows it.

A campaign starts the real `ai-gateway run`, puts providers on real ports behind it that fail in every way, asks it as a
client would, and compares what the client saw with what the providers wrote down.
"""
