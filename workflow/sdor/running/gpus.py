"""GPUs of this machine, and how a run shares its cores among the jobs that use one."""

import re
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path

DEVICES = Path("/dev")
KNOWN = re.compile(r"\d|GPU-|MIG-")


def visible_gpus(environment: Mapping[str, str], devices: Path = DEVICES) -> int | None:
    """How many GPUs a process may use, found without starting anything; None where nothing tells.

    `CUDA_VISIBLE_DEVICES` has the word (of a user, of SLURM: an empty one or -1 hides all), else
    NVIDIA's device files, of which a container has only its own.
    """
    said = environment.get("CUDA_VISIBLE_DEVICES")
    if said is not None:
        # CUDA itself reads up to the first entry that it does not know.
        return len(list(takewhile(KNOWN.match, map(str.strip, said.split(",")))))
    found = [path for path in devices.glob("nvidia*") if re.fullmatch(r"nvidia\d+", path.name)]
    return len(found) or None


def cores_of_each(cores: int, gpus: int) -> int:
    """Cores of each network job: as many run at once as there are GPUs, and never more.

    Fewer run where cores cannot be shared otherwise: of 7 cores on 4 GPUs, two each, as of single
    ones seven would run. Snakemake lets rules bound jobs by their threads alone.
    """
    return max(cores // gpus, cores // (gpus + 1) + 1)
