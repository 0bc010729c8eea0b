"""Arena and streams are pure functions: their laws over random graphs."""

import itertools

import pytest
from hypothesis import given, strategies as st

from headrace.ops.cuda import arena, streams
from headrace.ops.cuda.arena import Buffer

BUFFERS = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(0, 20), st.integers(0, 8)).map(
        lambda t: Buffer(t[0], t[1], t[1] + t[2])
    ),
    max_size=30,
)


def aligned(size):
    return -(-size // arena.ALIGNMENT) * arena.ALIGNMENT


@given(BUFFERS)
def test_buffers_that_live_together_do_not_overlap(buffers):
    found = arena.plan(buffers)
    spans = [(o, o + b.size_bytes) for o, b in zip(found.offsets, buffers, strict=True)]
    for (i, a), (j, b) in itertools.combinations(enumerate(buffers), 2):
        if a.first <= b.last and b.first <= a.last and a.size_bytes and b.size_bytes:
            assert spans[i][1] <= spans[j][0] or spans[j][1] <= spans[i][0]
    assert all(o % arena.ALIGNMENT == 0 for o in found.offsets)
    assert all(end <= found.size_bytes for _, end in spans)


@given(BUFFERS)
def test_an_arena_is_between_the_peak_and_the_sum(buffers):
    size = arena.plan(buffers).size_bytes
    assert size <= sum(aligned(b.size_bytes) for b in buffers)
    for step in range(30):
        alive = [aligned(b.size_bytes) for b in buffers if b.first <= step <= b.last]
        assert size >= sum(alive)


def test_a_chain_takes_two_buffers():
    chain = [Buffer(1024, i, i + 1) for i in range(50)]
    assert arena.plan(chain).size_bytes == 2048


def test_a_gap_between_living_buffers_is_used():
    found = arena.plan([Buffer(4096, 0, 9), Buffer(1024, 0, 2), Buffer(512, 0, 9),
                        Buffer(1024, 3, 9)])  # fmt: skip
    assert found.offsets[3] == found.offsets[1]
    assert found.size_bytes == 4096 + 1024 + 512


@pytest.mark.parametrize("bad", [Buffer(-1, 0, 0), Buffer(8, 3, 2)])
def test_impossible_buffers_are_refused(bad):
    with pytest.raises(ValueError, match=r"buffers\[1\]"):
        arena.plan([Buffer(8, 0, 1), bad])


@st.composite
def graphs(draw):
    n = draw(st.integers(1, 25))
    return [
        sorted(draw(st.sets(st.integers(0, i - 1), max_size=3))) if i else [] for i in range(n)
    ]


def order_of(launches):
    """Which steps are certainly over when a step begins, by streams and events alone."""
    over = []
    tails = {}
    for step, launch in enumerate(launches):
        mine = set()
        for n in (*launch.waits, *([tails[launch.stream]] if launch.stream in tails else [])):
            mine |= {n} | over[n]
        over.append(mine)
        tails[launch.stream] = step
    return over


@given(graphs(), st.integers(1, 5))
def test_every_step_begins_behind_what_it_reads(reads, count):
    launches = streams.schedule(reads, count)
    over = order_of(launches)
    for step, needs in enumerate(reads):
        assert set(needs) <= over[step]
        assert 0 <= launches[step].stream < count


@given(graphs(), st.integers(1, 5))
def test_no_wait_follows_from_the_others(reads, count):
    launches = streams.schedule(reads, count)
    for step, launch in enumerate(launches):
        for wait in launch.waits:
            less = launch._replace(waits=tuple(w for w in launch.waits if w != wait))
            rest = order_of([*launches[:step], less])
            assert wait not in rest[step]


@given(graphs(), st.integers(1, 4), st.data())
def test_memory_is_not_written_over_while_another_stream_reads_it(reads, count, data):
    readers = [[s for s, needs in enumerate(reads) if b in needs] for b in range(len(reads))]
    buffers = [
        Buffer(data.draw(st.integers(1, 2000)), b, max([b, *readers[b]]))
        for b in range(len(reads))
    ]
    placed = arena.plan(buffers)
    edges = arena.reuse_edges(buffers, placed, readers)
    over = order_of(streams.schedule(reads, count, also=edges))
    for (i, a), (j, b) in itertools.permutations(enumerate(buffers), 2):
        apart = (
            placed.offsets[i] + a.size_bytes <= placed.offsets[j]
            or placed.offsets[j] + b.size_bytes <= placed.offsets[i]
        )
        if not apart and j > i:  # j writes where i was
            assert {i, *readers[i]} <= over[j]


def test_independent_branches_run_beside_each_other():
    # 0 -> 1 -> 2 -> 6, 0 -> 3 -> 4 -> 5 -> 6
    reads = [[], [0], [1], [0], [3], [4], [2, 5]]
    launches = streams.schedule(reads, 2)
    assert launches[1].stream != launches[3].stream
    assert launches[1].stream == launches[2].stream
    assert launches[3].stream == launches[4].stream == launches[5].stream
    assert sum(len(launch.waits) for launch in launches) == 2


def test_a_chain_needs_no_events():
    launches = streams.schedule([[], [0], [1], [2]], 4)
    assert {launch.stream for launch in launches} == {0}
    assert not any(launch.waits for launch in launches)


# -- a device that does what it may ----------------------------------------------------------


@st.composite
def programs(draw):
    """Steps that read earlier buffers and write a new one, some also a buffer of their own, all
    of which live by a clock that counts allocations."""
    reads = draw(graphs())
    extra = [draw(st.booleans()) for _ in reads]  # whether the step needs scratch memory
    clock, buffers, steps, of_step = 0, [], [], []
    for step in range(len(reads)):
        own = []
        for _ in range(1 + extra[step]):
            clock += 1
            own.append(len(buffers))
            buffers.append([draw(st.integers(1, 4)) * arena.ALIGNMENT, clock, None])
            steps.append(step)
        of_step.append(own)
        clock += 1
        for scratch in own[1:]:
            buffers[scratch][2] = clock
        for earlier in range(step + 1):  # what nobody reads any more is given back
            if (
                buffers[of_step[earlier][0]][2] is None
                and not any(earlier in needs for needs in reads[step + 1 :])
                and earlier != step
            ):
                clock += 1
                buffers[of_step[earlier][0]][2] = clock
    made = [Buffer(size, first, clock + 1 if last is None else last)
            for size, first, last in buffers]  # fmt: skip
    return reads, made, steps, of_step


def run(reads, placed, sizes, of_step, order):
    """Do steps in an order; each must find what its inputs were made to hold."""
    memory = {}  # unit of memory -> (buffer, step that wrote it)

    def units(buffer):
        first = placed.offsets[buffer] // arena.ALIGNMENT
        return range(first, first + sizes[buffer] // arena.ALIGNMENT)

    for step in order:
        for needed in reads[step]:
            buffer = of_step[needed][0]
            assert all(memory[u] == (buffer, needed) for u in units(buffer))
        for buffer in of_step[step]:
            memory.update({u: (buffer, step) for u in units(buffer)})
    return memory


@given(programs(), st.integers(1, 5), st.randoms(use_true_random=False))
def test_any_order_that_streams_allow_finds_what_was_written(program, count, random):
    reads, buffers, steps, of_step = program
    placed = arena.plan(buffers)
    sizes = [b.size_bytes for b in buffers]
    users = [
        [s for s, needs in enumerate(reads) if steps[b] in needs and of_step[steps[b]][0] == b]
        for b in range(len(buffers))
    ]
    edges = arena.reuse_edges(buffers, placed, users, steps)
    launches = streams.schedule(reads, count, also=edges)
    want = run(reads, placed, sizes, of_step, range(len(reads)))
    for _ in range(3):
        order, left = [], set(range(len(reads)))
        while left:
            free = [
                s for s in left
                if not any(t < s and launches[t].stream == launches[s].stream for t in left)
                and not any(w in left for w in launches[s].waits)
            ]  # fmt: skip
            order.append(random.choice(free))
            left.remove(order[-1])
        assert run(reads, placed, sizes, of_step, order) == want


@given(graphs(), st.data())
def test_several_streams_are_taken_where_they_gain(reads, data):
    times = st.floats(0, 1e-4)
    works = [streams.Work(data.draw(times), data.draw(times)) for _ in reads]
    launches = streams.choose(reads, works)
    used = 1 + max(launch.stream for launch in launches)
    over = order_of(launches)
    assert all(set(needs) <= over[step] for step, needs in enumerate(reads))
    costs = [w.alone_s + w.shared_s for w in works]
    if used > 1:
        assert streams._duration(launches, costs) < 0.9 * sum(costs)
        assert sum(w.shared_s for w in works) < 0.9 * sum(costs)


def test_large_steps_and_chains_stay_on_one_stream():
    def used(reads, work):
        return 1 + max(n.stream for n in streams.choose(reads, [work] * len(reads)))

    fan = [[], *[[0]] * 8, list(range(1, 9))]
    assert used(fan, streams.Work(5e-6, 0.0)) > 1
    assert used(fan, streams.Work(2e-6, 1e-3)) == 1
    assert used([[], *[[i] for i in range(9)]], streams.Work(5e-6, 0.0)) == 1


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="streams must be positive, got 0"):
        streams.schedule([[]], 0)
    with pytest.raises(ValueError, match="step 1 reads a later one"):
        streams.schedule([[], [1]], 2)
