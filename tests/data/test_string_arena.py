"""StringArena: strings come out as they went in, and memory stays near what lives."""

import numpy as np
import pytest

from headrace.data.string_arena import StringArena
from headrace.ops.string_array import StringArray


@pytest.mark.parametrize("shared", [False, True], ids=["apart", "sharing bytes"])
def test_strings_that_come_and_go_stay_whole_and_take_little_more_than_themselves(shared):
    rng = np.random.default_rng(0)
    arena = StringArena(StringArray(np.zeros(4, np.uint8), np.array([0]), np.array([4])))
    arena.grow(100_000)
    inside, free = {}, list(range(21_000))
    for _ in range(120):
        parts = [rng.bytes(int(n)) for n in rng.integers(0, 2000, 500)]
        ends = np.cumsum([len(part) for part in parts])
        starts = ends - np.array([len(part) for part in parts])
        if shared:
            starts[250:], ends[250:], parts[250:] = starts[:250], ends[:250], parts[:250]
        rows = np.array([free.pop() for _ in parts])
        data = np.frombuffer(b"".join(parts[:250] if shared else parts), np.uint8)
        arena.put(rows, StringArray(data, starts, ends))
        inside |= dict(zip(rows.tolist(), parts, strict=True))
        if len(inside) > 20_000:
            leaving = rng.permutation(list(inside))[:500]
            expected = [inside.pop(int(row)) for row in leaving]
            assert arena.get(leaving).numpy().tolist() == expected
            free += leaving.tolist()
    live = sum(map(len, inside.values()))
    assert live > 15 << 20
    assert arena.nbytes < 1.5 * live + (10 << 20)
