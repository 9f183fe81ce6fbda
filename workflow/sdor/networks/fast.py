"""A frozen network with convolutions in int8, several times as fast on a CPU (extra "fast").

OpenVINO runs what NNCF quantises with a scene's own frames. What it gives is held against what
torch gives of other frames of the scene, and refused where they rank looks differently.
"""

import copy
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from torch import Tensor, nn

from sdor.errors import SdorError
from sdor.networks.inputs import Inputs
from sdor.progress import logger
from sdor.video.store import Rows

CALIBRATED = 128  # frames
COMPARED = 32  # other frames
AGREES = 0.95  # rank correlation of the distances between looks
DISTANCES = 500  # looks, between all of which distances are taken
PARTS = ("int8.graph", "int8.weights")  # of its file
MULTIPLIES = re.compile(r"\b(avx512_vnni|avx_vnni|amx_int8|asimddp)\b")


def is_there() -> bool:
    """Whether the extra is installed, and this CPU multiplies in int8."""
    cpu = Path("/proc/cpuinfo")
    flags = cpu.read_text() if cpu.is_file() else ""
    return bool(find_spec("openvino") and find_spec("nncf") and MULTIPLIES.search(flags))


class Quantised:
    """A network of int8, which takes uint8 frames as the one that it was made of did.

    Parameters
    ----------
    graph, weights : bytes of OpenVINO's files. threads : of the CPU.

    Raises
    ------
    SdorError : the extra is not installed, or the network cannot be read.
    """

    def __init__(self, graph: bytes, weights: bytes, threads: int) -> None:
        with _quiet():
            openvino = _imported("openvino")
        self.parts = graph, weights
        core = openvino.Core()
        shared = np.frombuffer(weights, np.uint8)
        try:
            model = core.read_model(graph, openvino.Tensor(shared))
        except RuntimeError as error:
            raise SdorError(
                f"the int8 network cannot be read by OpenVINO {openvino.__version__} "
                f"({str(error).splitlines()[0]}); delete the basis that it is in"
            ) from error
        self._run: Any = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads})

    def __call__(self, frames: Tensor) -> Tensor:
        """What the network makes of uint8 frames (B, H, W, C), wherever they are: on the CPU."""
        made: NDArray[Any] = self._run(np.ascontiguousarray(frames.cpu().numpy()))[0]
        return torch.from_numpy(made)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Its parts, as a safetensors file takes them."""
        named = zip(PARTS, self.parts, strict=True)
        return {name: np.frombuffer(part, np.uint8) for name, part in named}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], threads: int) -> Self | None:
        """What `arrays` gave, or None where it is not among them."""
        if PARTS[0] not in arrays:
            return None
        graph, weights = (arrays[name].tobytes() for name in PARTS)
        return cls(graph, weights, threads)


def quantised(network: nn.Module, inputs: Inputs, rows: Rows) -> Quantised:
    """A network of int8, from one in torch and rows of the frames that it is to look at.

    Raises
    ------
    SdorError : the extra is not installed; or distances between what the network gives of places
        or frames, and what torch gives, are not ranked alike.
    """
    held = _spaced(rows, min(COMPARED, max(len(rows) // 4, 1)))
    known = np.setdiff1d(rows, held)
    frames = inputs.pictures(_spaced(known if len(known) else rows, CALIBRATED))
    with _quiet(), TemporaryDirectory() as folder, torch.inference_mode():
        openvino, nncf = _imported("openvino"), _imported("nncf")
        plain = copy.deepcopy(network).float().cpu().eval()
        try:
            model = openvino.convert_model(plain, example_input=torch.from_numpy(frames[:1]))
            data = nncf.Dataset([frames[one : one + 1] for one in range(len(frames))])
            model = nncf.quantize(model, data, subset_size=len(frames))
        except Exception as error:  # of which neither has one for all
            raise SdorError(
                f"precision: int8: OpenVINO {openvino.__version__} and NNCF {nncf.__version__} "
                f"cannot make it ({(str(error) or type(error).__name__).splitlines()[0]}); "
                "set precision: bf16"
            ) from error
        file = Path(folder, "int8.xml")
        openvino.save_model(model, file)
        graph, weights = file.read_bytes(), file.with_suffix(".bin").read_bytes()
    made = Quantised(graph, weights, torch.get_num_threads())
    given = torch.from_numpy(inputs.pictures(held))
    with inputs.compute.inference():
        expected = network(given).float()
    agreement = _agreement(expected.numpy(), made(given).numpy())
    logger.info("int8: ranks of %d frames agree by %.3f", len(held), agreement)
    if not agreement >= AGREES:
        raise SdorError(
            f"precision: int8: distances between looks agree with those of torch by "
            f"{agreement:.2f} only ({AGREES} is asked for); set precision: bf16"
        )
    return made


def _spaced(rows: Rows, count: int) -> Rows:
    """So many of some rows, or all, from the first to the last."""
    spaced: Rows = rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]
    return spaced


def _agreement(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Rank correlation of the distances between looks: rows, or places of rows."""
    looks = [made.reshape(-1, made.shape[-1]) for made in (one, other)]
    some = np.linspace(0, len(looks[0]) - 1, min(DISTANCES, len(looks[0]))).astype(int)
    ours, theirs = (pdist(made[some].astype(np.float64)) for made in looks)
    if len(ours) < 2 or np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return float(np.allclose(ours, theirs))  # one look alone, or all alike
    return float(spearmanr(ours, theirs).statistic)


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise SdorError(
            f"precision: int8 needs {name}, which is not installed (extra fast: "
            "pip install '.[fast]'); install it, or set precision: bf16"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep both libraries from telling their makers that they are used, from bars and warnings."""
    names = ("CI", "NNCF_CI")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(CI="true", NNCF_CI="1")
    try:
        with redirect_stdout(StringIO()), warnings.catch_warnings(action="ignore"):
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({name: value} if value is not None else {})
