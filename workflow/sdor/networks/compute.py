"""The device that computes, and the precision it computes in."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sdor.errors import SdorError
from sdor.networks.devices import lease


@dataclass(frozen=True)
class Compute:
    """A device and whether its convolutions run in bfloat16, or, where nothing trains, in int8.

    Weights, losses and scores stay float32; bfloat16 is autocast inside the network only. What runs
    in int8 is made of a network by `networks.fast`, on a CPU.
    """

    device: torch.device
    bf16: bool
    int8: bool = False

    def autocast(self) -> AbstractContextManager[None]:
        """Context in which the network runs."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    @contextmanager
    def inference(self) -> Iterator[None]:
        """Context in which the network runs without gradients, in batches of any size."""
        with self.repeatable(), torch.inference_mode(), self.autocast():
            yield

    @contextmanager
    def repeatable(self, *, search: bool = False) -> Iterator[None]:
        """Context in which, on a CPU, the same seed gives the same weights.

        A GPU's lack of memory is an `SdorError`.

        Parameters
        ----------
        search : a GPU tries out which convolutions are fastest. That takes seconds for each size of
            batch: for many steps of one size.
        """
        gpu, cudnn = self.device.type == "cuda", torch.backends.cudnn
        before = torch.are_deterministic_algorithms_enabled(), cudnn.benchmark
        torch.use_deterministic_algorithms(not gpu)
        cudnn.benchmark = gpu and search
        try:
            yield
        except torch.cuda.OutOfMemoryError as error:
            raise SdorError(
                f"the GPU has too little memory ({str(error).splitlines()[0]}); free it of what "
                "others compute there, or lower input_size, or batch_size where it trains"
            ) from error
        finally:
            torch.use_deterministic_algorithms(before[0])
            cudnn.benchmark = before[1]

    def to_host(self, made: Tensor) -> Callable[[], NDArray[Any]]:
        """Begin to copy a result; what comes back waits for the copy, and gives it as an array."""
        if self.device.type != "cuda":
            return made.numpy
        beside, copied = _stream(self.device, "down"), _event()
        beside.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(beside):
            host = torch.empty(made.shape, dtype=made.dtype, pin_memory=True)
            host.copy_(made, non_blocking=True)
            copied.record()
        made.record_stream(beside)  # its memory is not another tensor's before it is copied

        def wait() -> NDArray[Any]:
            copied.synchronize()
            return host.numpy()

        return wait

    def to_device(self, rows: Tensor) -> Callable[[], Tensor]:
        """Begin to copy a batch, in any thread; what comes back gives it to whoever computes."""
        if self.device.type != "cuda":
            return lambda: rows
        beside, copied = _stream(self.device, "up"), _event()
        with torch.cuda.stream(beside):
            there = rows.pin_memory().to(self.device, non_blocking=True)
            copied.record()

        def wait() -> Tensor:
            computing = torch.cuda.current_stream(self.device)
            computing.wait_event(copied)
            there.record_stream(computing)
            return there

        return wait

    def place(self, network: nn.Module) -> None:
        """Move a network to the device, its convolutions laid out channels last."""
        volumetric = any(isinstance(module, nn.Conv3d) for module in network.modules())
        layout = torch.channels_last_3d if volumetric else torch.channels_last
        with self.repeatable():  # says a lack of memory in a line
            network.to(self.device)
            network.to(memory_format=layout)  # type: ignore[call-overload]

    def describe(self) -> str:
        """Words for logs and reports, such as "cpu, bf16"."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"
        return f"{name}, {'bf16' if self.bf16 else 'fp32'}"


def choose_compute(
    device: str = "auto", precision: str = "auto", threads: int = 0, *, alone: bool = True
) -> Compute:
    """Resolve the config's `device` and `precision` on this machine.

    Parameters
    ----------
    device : "auto" (CUDA where there is one), "cpu" or "cuda".
    precision : "auto" (bfloat16 where the hardware multiplies in it), "bf16", "fp32" or "int8" (for
        frozen networks on a CPU; all else is as with "auto").
    threads : CPU threads of torch; 0 leaves its own choice.
    alone : a GPU is this process's own until it ends, and torch's current one (`devices`); else it
        is the current one, whoever else computes on it.

    Raises
    ------
    SdorError : "cuda" on a machine without a usable CUDA device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise SdorError("device: cuda: torch finds no CUDA device here; use device: auto or cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if threads:
        torch.set_num_threads(threads)
    chosen = _own_gpu() if device == "cuda" and alone else torch.device(device)
    bf16 = precision == "bf16" or (precision != "fp32" and _multiplies_bf16(device))
    return Compute(chosen, bf16, int8=precision == "int8" and device == "cpu")


def _own_gpu() -> torch.device:
    """The GPU that this process keeps, made torch's current one."""
    found = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    # Their numbers depend on CUDA_VISIBLE_DEVICES; what NVIDIA called them does not.
    number = lease([str(device.uuid) for device in found])
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


@cache
def _stream(device: torch.device, name: str) -> torch.cuda.Stream:
    """One beside that which computes; copies up do not wait for those down."""
    del name
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _event() -> torch.cuda.Event:
    return torch.cuda.Event()  # type: ignore[no-untyped-call]


def _multiplies_bf16(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch keeps the CPU probes private and renames them now and then; without one, use float32.
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, probe, bool)()) for probe in probes)
