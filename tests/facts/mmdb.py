"""Writes a database of MaxMind's format (MaxMind DB file format specification 2.0), as small as it may be."""

from __future__ import annotations

import struct
from ipaddress import ip_network
from typing import Any


def encoded(value: Any) -> bytes:
    match value:
        case bool():
            return bytes([int(value), 7])
        case int():
            raw = value.to_bytes(4, "big")
            return bytes([6 << 5 | 4]) + raw
        case float():
            return bytes([3 << 5 | 8]) + struct.pack(">d", value)
        case str():
            raw = value.encode()
            return (bytes([2 << 5 | len(raw)]) if len(raw) < 29 else bytes([2 << 5 | 29, len(raw) - 29])) + raw
        case dict():
            return bytes([7 << 5 | len(value)]) + b"".join(encoded(key) + encoded(each) for key, each in value.items())
        case list():
            return bytes([len(value), 4]) + b"".join(map(encoded, value))
    raise TypeError(value)


def database(records: dict[str, dict[str, Any]]) -> bytes:
    """A database of IPv4 ranges."""
    data, nodes = b"", [[0, 0]]
    leaves: list[tuple[int, int, int]] = []
    for cidr, record in records.items():
        network = ip_network(cidr)
        bits = f"{int(network.network_address):032b}"[: network.prefixlen]
        at = 0
        for bit in bits[:-1]:
            if not nodes[at][int(bit)]:
                nodes.append([0, 0])
                nodes[at][int(bit)] = len(nodes) - 1
            at = nodes[at][int(bit)]
        leaves.append((at, int(bits[-1]), len(data)))
        data += encoded(record)
    count = len(nodes)
    tree = [[child or count for child in node] for node in nodes]
    for at, bit, offset in leaves:
        tree[at][bit] = count + 16 + offset
    search = b"".join(value.to_bytes(4, "big") for node in tree for value in node)
    metadata = {
        "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1, "database_type": "Test",
        "description": {"en": "test"}, "ip_version": 4, "languages": ["en"], "node_count": count, "record_size": 32,
    }  # fmt: skip
    return search + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + encoded(metadata)
