"""CRC32C in its three forms."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from headrace.io import crc32c as crc

# RFC 3720, B.4.
VECTORS = [
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
    (b"123456789", 0xE3069283),
    (b"", 0),
]


@pytest.mark.parametrize(("data", "expected"), VECTORS)
def test_known_vectors(form, data, expected):
    assert crc.crc32c(data) == expected


def one_bit_at_a_time(data):
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


LANES = [95, 96, 97, 119, 120, 255, 640, 767, 768, 769, 1535, 1536, 1537, 1632, 3100]


@pytest.mark.parametrize("size", [1, 3, 4, 7, 8, 9, *LANES, 1023, 1024, 1025, 2600])
def test_sizes_around_the_lanes_and_segments(form, size):
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    assert crc.crc32c(data) == one_bit_at_a_time(data.tolist())


def test_continues(form):
    assert crc.crc32c(b"456789", crc.crc32c(b"123")) == crc.crc32c(b"123456789")


def test_takes_any_bytes_like(form):
    words = np.frombuffer(b"abcd", np.int32)
    for data in (b"abcd", bytearray(b"abcd"), memoryview(b"abcd"), words):
        assert crc.crc32c(data) == crc.crc32c(b"abcd")


@given(st.integers(0, 2**32 - 1))
def test_unmask_inverts_mask(value):
    assert crc.unmask(crc.mask(value)) == value
    assert int(crc.mask(np.array([value], np.uint32))[0]) == crc.mask(value)


def test_masked_value():
    assert crc.masked_crc32c(b"123456789") == 0xC78AB0E5


@given(st.binary(max_size=4000), st.data())
def test_many_ranges_at_once(data, draw):
    array = np.frombuffer(data, np.uint8)
    bound = st.integers(0, len(data))
    pairs = sorted(draw.draw(st.lists(st.tuples(bound, bound).map(sorted), max_size=5)))
    starts = np.array([a for a, _ in pairs], np.int64)
    ends = np.array([b for _, b in pairs], np.int64)
    got = crc.crc32c_ranges(array, starts, ends)
    assert got.tolist() == [one_bit_at_a_time(data[a:b]) for a, b in pairs]


def test_batches_of_ranges_are_bounded(monkeypatch):
    monkeypatch.setattr(crc, "_BATCH_BYTES", 100)
    data = np.arange(1000, dtype=np.uint8)
    starts = np.arange(0, 960, 40)
    got = crc.crc32c_ranges(data, starts, starts + 40)
    assert got.tolist() == [one_bit_at_a_time(data[s : s + 40].tolist()) for s in starts]
