"""Memory that is used again: bounded whatever the shapes are, the same blocks for the same shapes, from any thread."""

import gc
import random
import threading

import pytest
import torch
from cells.variants import normal

from gatelab.kernels.cpu import _call, _function, _loop
from gatelab.kernels.cpu._call import MemoryPool
from gatelab.models import RNN


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> MemoryPool:
    """A pool of its own for every call of this test."""
    own = MemoryPool()
    for module in (_call, _function, _loop):
        monkeypatch.setattr(module, "POOL", own)
    return own


def step(rnn: RNN, length: int) -> None:
    rnn(normal(length, 4, 3).float())[0].sum().backward()


def test_many_lengths_hold_no_more_than_twice_what_one_batch_needs(pool: MemoryPool) -> None:
    rnn = RNN("lstm", 3, 16, num_layers=2, backend="cpu")
    step(rnn, 300)
    one = pool.size
    assert one > 0
    lengths = list(range(1, 301))
    random.Random(0).shuffle(lengths)
    for length in lengths:
        step(rnn, length)
        assert pool.size <= 2 * one
    pool.clear()
    assert pool.size == 0


def test_the_same_shape_takes_the_same_blocks(pool: MemoryPool, monkeypatch: pytest.MonkeyPatch) -> None:
    rnn = RNN("lstm", 3, 16, num_layers=2, backend="cpu")
    step(rnn, 40)
    sizes = pool.size
    made = []
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *shape, **options: made.append(options.get("dtype")) or empty(*shape, **options))
    for _ in range(5):
        step(rnn, 40)
    assert torch.uint8 not in made
    assert pool.size == sizes


def test_similar_sizes_fit_each_other_and_others_do_not() -> None:
    pool = MemoryPool()
    first = pool.take(1000, torch.float32)
    address = first.data_ptr()
    del first
    second = pool.take(900, torch.float32)
    assert second.data_ptr() == address
    del second
    assert pool.take(450, torch.float64).data_ptr() == address  # bytes are bytes
    assert pool.take(10, torch.float32).data_ptr() != address


def test_the_block_that_waited_longest_is_freed_first() -> None:
    pool = MemoryPool(most=2)
    addresses = []
    for size in (1000, 10000, 100000):
        lease = pool.take(size, torch.float32)
        addresses.append(lease.data_ptr())
        del lease
    held = pool.size
    pool.take(1, torch.float32)  # what was given back is sorted at the next call
    assert pool.size < held
    assert [pool.take(size, torch.float32).data_ptr() for size in (100000, 10000)] == [addresses[2], addresses[1]]


def test_threads_share_a_pool() -> None:
    """No block belongs to two leases at a time, and nothing is lost count of."""
    pool = MemoryPool()
    taken: set[int] = set()
    twice: list[int] = []

    def work(seed: int) -> None:
        draw = random.Random(seed)
        mine = []
        for _ in range(2000):
            lease = pool.take(draw.randrange(1, 5000), torch.float32)
            if lease.data_ptr() in taken:
                twice.append(lease.data_ptr())
            taken.add(lease.data_ptr())
            mine.append(lease)
            if len(mine) > 4:
                gone = mine.pop(0)
                taken.discard(gone.data_ptr())
                del gone
        for lease in mine:
            taken.discard(lease.data_ptr())

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert not twice
    pool.clear()
    assert pool.size == 0


def test_a_lease_that_is_deleted_within_a_call_takes_no_lock() -> None:
    """The garbage collector may run anywhere."""
    pool = MemoryPool()
    lease = pool.take(100, torch.float32)
    with pool._lock:
        del lease
    assert pool.take(100, torch.float32) is not None
