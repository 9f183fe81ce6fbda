"""A pass of a network over rows, in inference: the device computes while results are copied."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdor.networks.compute import Compute
from sdor.networks.inputs import Inputs
from sdor.progress import logger, track
from sdor.video.store import Rows

FASTER = 1.05  # times the rate of half as many rows at a time: worth going on
TRIED = 3  # batches of a size; the fastest tells its rate: others find memory and code, or wait
SLOW = 2.0  # s until the first result, which a log tells
ROOM = 0.8  # of the memory that there is, for twice as many rows


def outputs(
    of: Callable[[Tensor], Tensor], inputs: Inputs, rows: Rows | None, size: int, label: str
) -> Iterator[NDArray[Any]]:
    """What a network makes of rows of the inputs, or of all of them, a batch at a time, in order.

    On a GPU, a result is copied while the next one is computed, and batches grow from `size`, as
    long as that is faster and there is room. On a CPU all have that size: so the same rows give the
    same bytes.
    """
    compute, wanted = inputs.compute, np.arange(len(inputs)) if rows is None else rows
    sizes = BatchSize(size, _room_for_twice(compute) if compute.device.type == "cuda" else None)
    waiting: Callable[[], NDArray[Any]] | None = None
    started = last = time.monotonic()
    batches = inputs.batches(sizes.share_out(wanted))
    for batch in track(batches, total=len(wanted), unit="frame", label=label, count=len):
        with compute.inference():
            coming = compute.to_host(of(batch))
        if waiting:
            made = waiting()
            now = time.monotonic()
            if last == started and now - started > SLOW:
                logger.info("%s: the first batch after %.1f s", label, now - started)
            sizes.took(len(made), now - last)
            last = now
            yield made
        waiting = coming
    if waiting:
        yield waiting()


class BatchSize:
    """How many rows at a time.

    Parameters
    ----------
    size : to begin with. room_for_twice : tells whether twice as many fit into memory; None: `size`
        is the one for all.
    """

    def __init__(self, size: int, room_for_twice: Callable[[], bool] | None = None) -> None:
        self.size = size
        self._grows = room_for_twice
        self._best = self._rate = 0.0  # rows a second, of the size before and of this one
        self._seen = 0

    def share_out(self, rows: Rows) -> Iterator[Rows]:
        """Row numbers, as many at a time as seems best when they are asked for."""
        begin = 0
        while begin < len(rows):
            some = rows[begin : begin + self.size]
            begin += len(some)
            yield some

    def took(self, rows: int, seconds: float) -> None:
        """Learn from the time between the result before and this one."""
        if self._grows is None or rows != self.size:
            return
        self._seen += 1
        self._rate = max(self._rate, rows / max(seconds, 1e-9))
        if self._seen < TRIED:
            return
        if self._rate < self._best * FASTER:
            self.size = self.size if self._rate >= self._best else self.size // 2
            self._grows = None
        elif self._grows():
            self._best, self._rate, self._seen, self.size = self._rate, 0.0, 0, 2 * self.size
        else:
            self._grows = None


def _room_for_twice(compute: Compute) -> Callable[[], bool]:
    """Whether a GPU's memory holds batches of twice the size of those so far."""
    gpu, cuda = compute.device, torch.cuda
    cuda.reset_peak_memory_stats(gpu)
    before = cuda.memory_allocated(gpu)

    def room() -> bool:
        free, _ = cuda.mem_get_info(gpu)
        wanted = 2 * (cuda.max_memory_allocated(gpu) - before)
        return bool(before + wanted < ROOM * (free + cuda.memory_reserved(gpu)))

    return room
