"""Serialized messages for the tests: well formed, hand made and damaged."""

from __future__ import annotations

import random

from headrace.io.example import Example


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, *parts: bytes) -> bytes:
    """A length-delimited field."""
    payload = b"".join(parts)
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def entry(key: bytes, feature: bytes) -> bytes:
    """A map entry of Features."""
    return field(1, field(1, key), field(2, feature))


def example(**features: object) -> bytes:
    """An Example; the kind of each feature follows from its first value."""
    message = Example()
    for key, values in features.items():
        feature = message.features.feature[key]
        values = list(values)  # type: ignore[call-overload]
        first = values[0] if values else 0
        kind = "bytes_list" if isinstance(first, bytes) else (
            "float_list" if isinstance(first, float) else "int64_list"
        )  # fmt: skip
        getattr(feature, kind).value.extend(values)
        getattr(feature, kind).SetInParent()
    return message.SerializeToString()


def mutated(record: bytes, rng: random.Random) -> bytes:
    """`record` with a few bytes changed, removed, doubled or added."""
    data = bytearray(record)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if not data:
            break
        at = rng.randrange(len(data))
        action = rng.randrange(7)
        if action == 0:
            data[at] = rng.randrange(256)
        elif action == 1:
            data[at] ^= 1 << rng.randrange(8)
        elif action == 2:
            del data[at : at + rng.randrange(1, 5)]
        elif action == 3:
            data[at:at] = data[at : at + rng.randrange(1, 20)]
        elif action == 4:
            data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 4)))
        elif action == 5:
            data[at] = (data[at] + rng.choice((-1, 1, 2))) & 0xFF
        else:
            del data[at:]
    return bytes(data)
