"""Real processes that share pretended GPUs."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import sdor
from sdor.networks import devices
from sdor.networks.compute import choose_compute
from sdor.networks.devices import lease

NAMES = ["GPU-a", "GPU-b", "GPU-c"]
TAKE = """
import logging, sys, time
from sdor.networks.devices import lease
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
print(lease(sys.argv[1:]), flush=True)
time.sleep(120)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the processes of a test lock; what this one holds is let go in the end."""
    monkeypatch.setattr(devices.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(devices, "_held", {})
    yield tmp_path / f"sdor-gpus-{os.getuid()}"
    for file in devices._held.values():
        file.close()


@pytest.fixture
def start(folder):
    """Starts a process that takes a GPU; `said` is its log, and then which it has."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(sdor.__file__).parents[1]),
        "TMPDIR": str(folder.parent),
    }
    with ExitStack() as stack:

        def start(*names):
            process = subprocess.Popen(
                [sys.executable, "-c", TAKE, *(names or NAMES)],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            process.said = [process.stdout.readline().strip() for _ in range(2)]
            return process

        yield start


def test_processes_have_a_gpu_each_and_a_killed_one_frees_its_own(start):
    first, second, third = (start() for _ in NAMES)
    assert [first.said, second.said, third.said] == [
        ["GPU 0 of 3", "0"],
        ["GPU 1 of 3", "1"],
        ["GPU 2 of 3", "2"],
    ]
    more = [start().said for _ in range(4)]
    assert [number for _, number in more] == ["0", "1", "2", "0"]
    assert more[0][0] == "GPU 0, shared with others (1): all are taken"
    assert more[3][0] == "GPU 0, shared with others (2): all are taken"
    second.kill()
    second.wait()
    assert start().said == ["GPU 1 of 3", "1"]
    # The same GPUs, by the numbers that another CUDA_VISIBLE_DEVICES gives them.
    third.kill()
    third.wait()
    assert start("GPU-b", "GPU-c").said == ["GPU 1 of 2", "1"]


def test_what_computes_does_so_on_its_own_gpu(start, monkeypatch):
    """Torch says what a driver with three GPUs would have it say."""
    current = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(NAMES))
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=NAMES[number])
    )
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    start()
    chosen = [choose_compute(asked).device for asked in ("auto", "cuda", "auto")]
    assert chosen == [torch.device("cuda", 1)] * 3
    assert current == [1, 1, 1]
    assert choose_compute("cpu").device == torch.device("cpu")


def test_a_file_system_without_locks_is_said(folder, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(devices.fcntl, "flock", refuse)
    assert lease(NAMES) == 0
    assert f"{folder}: No locks available" in caplog.text


def test_a_folder_that_cannot_be_had_is_said(folder, caplog):
    folder.touch()
    assert lease(NAMES) == 0
    assert f"{folder}: " in caplog.text


def test_what_only_asks_or_is_in_anothers_process_keeps_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    monkeypatch.setattr("sdor.networks.compute.lease", pytest.fail)
    assert choose_compute(alone=False).device == torch.device("cuda")
