"""The gateway beside other proxies, in front of a mock provider, under one load: `python -m benchmarks.gateway`."""
