import numpy as np
import pytest
import torch

from sdor.networks.compute import Compute
from sdor.networks.inputs import Inputs
from sdor.networks.passes import BatchSize, outputs

CPU = Compute(torch.device("cpu"), bf16=False)


@pytest.mark.parametrize("rows", [None, np.array([5, 0, 9, 3])])
def test_results_come_in_the_order_of_their_rows(rows):
    inputs = Inputs(np.arange(10.0), CPU)
    found = [*outputs(lambda batch: 2 * batch, inputs, rows, 3, "doubled")]
    expected = np.arange(10.0) if rows is None else rows
    assert [len(one) for one in found][:-1] == [3] * (len(found) - 1)
    np.testing.assert_array_equal(np.concatenate(found), 2 * expected)


def test_no_rows_are_no_results():
    assert [*outputs(lambda batch: batch, Inputs(np.arange(3.0), CPU), np.arange(0), 2, "x")] == []


def batches(pace, rate, rows=100_000):
    """Sizes of batches on a device that computes so many rows a second at a size."""
    sizes = []
    for some in pace.share_out(np.arange(rows)):
        sizes.append(len(some))
        pace.took(len(some), len(some) / rate(len(some)))
    assert sum(sizes) == rows
    return sizes


def test_batches_grow_as_long_as_that_is_faster():
    # Rates measured on a GPU: nothing is gained beyond 256.
    rate = {32: 5225, 64: 8100, 128: 10900, 256: 12700, 512: 12800}
    sizes = batches(BatchSize(32, lambda: True), lambda size: rate.get(size, 12_700))
    assert sizes[:12] == [32] * 3 + [64] * 3 + [128] * 3 + [256] * 3
    assert set(sizes[12:-1]) == {512}, "as fast, so there it stays"


def test_a_size_that_is_slower_is_taken_back():
    sizes = batches(BatchSize(32, lambda: True), lambda size: {32: 100, 64: 200}.get(size, 150))
    assert sizes[:9] == [32] * 3 + [64] * 3 + [128] * 3
    assert set(sizes[9:-1]) == {64}


def test_batches_grow_no_further_than_memory_allows():
    room = iter([True, False])
    sizes = batches(BatchSize(32, lambda: next(room)), lambda size: size)
    assert set(sizes[3:-1]) == {64}


def test_on_a_cpu_all_batches_have_one_size():
    assert set(batches(BatchSize(32), lambda size: size)[:-1]) == {32}


def test_a_gpu_computes_while_the_result_before_is_used():
    told = []

    class Pretended(Compute):
        def to_host(self, made):
            told.append(f"begun {int(made[0])}")
            return lambda: told.append(f"copied {int(made[0])}") or made.numpy()

    inputs = Inputs(np.arange(3.0), Pretended(torch.device("cpu"), bf16=False))
    for made in outputs(lambda batch: batch, inputs, None, 1, "x"):
        told.append(f"used {int(made[0])}")
    assert told == [
        *("begun 0", "begun 1", "copied 0", "used 0"),
        *("begun 2", "copied 1", "used 1", "copied 2", "used 2"),
    ]
