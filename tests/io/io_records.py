"""Serialized messages for the tests: well formed, hand made and damaged."""

from __future__ import annotations

import random

from headrace.io.example import Feature


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


def feature(values: object) -> bytes:
    """A Feature; its kind follows from the first value; None leaves it unset."""
    message = Feature()
    if values is not None:
        values = list(values)  # type: ignore[call-overload]
        kinds = {bytes: "bytes_list", float: "float_list", int: "int64_list"}
        own = getattr(message, kinds[type(values[0]) if values else int])
        own.value.extend(values)
        own.SetInParent()
    return message.SerializeToString()


def features_of(values: dict[str, object]) -> bytes:
    """The entries of a Features message, in the order given (protobuf's own order varies)."""
    return b"".join(entry(key.encode(), feature(v)) for key, v in values.items())


def example(**features: object) -> bytes:
    """An Example."""
    return field(1, features_of(features))


def sequence(context: object = (), **lists: list[object]) -> bytes:
    """A SequenceExample; each step of a list is the values of a Feature."""
    steps = b"".join(
        entry(key.encode(), b"".join(field(1, feature(values)) for values in own))
        for key, own in lists.items()
    )
    return field(1, features_of(dict(context))) + field(2, steps)  # type: ignore[call-overload]


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
