"""What the network starts from: stored frames, cached trunk maps or pooled features.

All three are rows that are gathered by number into one tensor on the device. Rows are read from a
memory map while the device works on the batch before; on a GPU with room they are kept there whole.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdor.networks.compute import Compute
from sdor.video.store import FrameStore, Rows

RESIDENT_SHARE = 0.5  # of the free GPU memory: the rest is for activations
UPLOADED = 256 << 20  # bytes at a time


class Inputs:
    """Rows to be gathered into batches on a device.

    Parameters
    ----------
    source : a `FrameStore`, or an array (rows, …) such as a memory map; of bfloat16, which NumPy
        does not know, its bytes as uint16.
    compute : where batches go.
    window : frames a 3-D network looks at around each row (1: the row alone); frame stores only.
    again : the rows are gathered many times, so that a GPU with room for all is given them first.
    """

    def __init__(
        self,
        source: FrameStore | NDArray[Any],
        compute: Compute,
        *,
        window: int = 1,
        again: bool = True,
    ) -> None:
        self.source = source
        self.compute = compute
        self.window = window
        self._threads = torch.get_num_threads()  # that a job has been given; see `choose_compute`
        self._resident: Tensor | None = None
        if again and compute.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(compute.device)
            with suppress(torch.cuda.OutOfMemoryError):  # another process was faster to take it
                if len(self) * self._read(np.arange(1), 1).nbytes < RESIDENT_SHARE * free:
                    self._resident = self._upload()

    def __len__(self) -> int:
        return len(self.source)

    def batches(self, batches_of_rows: Iterable[Rows]) -> Iterator[Tensor]:
        """Gather each batch of row numbers; the next one is read while this one is in use.

        Yields
        ------
        (B, …) tensor on the device: rows of the source, or (B, window, …) for windows.
        """
        if self._resident is not None:
            for rows in batches_of_rows:
                if isinstance(self.source, FrameStore) and self.window > 1:
                    rows = self.source.window_rows(rows, self.window)
                yield self._resident[torch.from_numpy(rows).to(self.compute.device)]
            return
        with ThreadPoolExecutor(max_workers=1) as reader:
            reads = (reader.submit(self._send, rows) for rows in batches_of_rows)
            for read, _following in pairwise(chain(reads, [None])):
                assert read is not None
                with self.compute.repeatable():  # says a lack of memory in a line
                    batch = read.result()()
                yield batch

    def pictures(self, rows: Rows) -> NDArray[Any]:
        """Rows of stored frames, or of an array, as they are."""
        source = self.source
        if isinstance(source, FrameStore):
            return source.gather(rows, threads=self._threads)
        return source[rows]

    def _send(self, rows: Rows) -> Callable[[], Tensor]:
        return self.compute.to_device(self._read(rows, self.window))

    def _read(self, rows: Rows, window: int) -> Tensor:
        if isinstance(self.source, FrameStore) and window > 1:
            windows = self.source.gather_windows(rows, window, threads=self._threads)
            tensor = torch.from_numpy(windows)
        else:
            tensor = torch.from_numpy(self.pictures(rows))
            if tensor.dtype == torch.uint16:
                tensor = tensor.view(torch.bfloat16)
        if tensor.dtype == torch.bfloat16 and not self.compute.bf16:
            tensor = tensor.float()  # cached where the hardware had bfloat16, used where it has not
        return tensor

    def _upload(self) -> Tensor:
        """All rows on the device, copied in pieces that keep the host's memory small."""
        first = self._read(np.arange(1), 1)
        shape = (len(self), *first.shape[1:])
        whole = torch.empty(shape, dtype=first.dtype, device=self.compute.device)
        for rows in batched(np.arange(len(self)), max(1, UPLOADED // first.nbytes)):
            whole[rows[0] : rows[-1] + 1] = self._read(rows, 1)
        return whole


def batched(rows: Rows, size: int) -> list[Rows]:
    """Row numbers `size` at a time."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]
