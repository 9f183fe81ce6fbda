"""The README's first command on a machine that has Python, a network, and nothing of ours."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
MINUTES = 10
# Of the environment, what says how the package index is reached, and nothing else.
REACH = ("PIP_", "UV_", "SSL_", "REQUESTS_CA", "CURL_CA", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")

pytestmark = pytest.mark.install


def base_python():
    """The Python below every virtual environment."""
    found = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    return found if found.exists() else Path(os.path.realpath(sys.executable))


def bare_environment(home):
    """A PATH of Python and the system, a home of its own, no variable of a project."""
    kept = {key: value for key, value in os.environ.items() if key.upper().startswith(REACH)}
    own = {"HOME": str(home), "PYTHONNOUSERSITE": "1", "LC_ALL": "C.UTF-8"}
    return kept | own | {"PATH": f"{base_python().parent}{os.pathsep}/usr/bin{os.pathsep}/bin"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the project's own files, as a clone would have them."""
    folder = tmp_path_factory.mktemp("install") / "sdor"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=PROJECT,
        capture_output=True,
    )
    if listed.returncode:
        pytest.skip("not a clone: which files are the project's own is not known")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)
    yield folder
    shutil.rmtree(folder.parent)  # some gigabytes


@pytest.fixture(scope="module")
def run(checkout):
    """Runs a command in the copy; returns the finished process with its output as text."""
    home = checkout.parent / "home"
    home.mkdir()

    def run(*command):
        return subprocess.run(
            command,
            cwd=checkout,
            env=bare_environment(home),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=MINUTES * 60,
        )

    return run


@pytest.fixture(scope="module")
def doctor(run):
    """The set-up and what the doctor says after it."""
    python = base_python()
    if run(python, "-m", "pip", "--version").returncode:
        pytest.skip(f"no pip for {python} to ask for a package index with")
    reached = run(python, "-m", "pip", "download", "--no-deps", "--dest", "../index", "idna")
    if reached.returncode:
        pytest.skip(f"no package index can be reached: {reached.stdout.strip().splitlines()[-1]}")
    return run(python, "envs/bootstrap.py", "doctor")


def test_set_up_in_a_clean_environment(checkout, run, doctor):
    assert doctor.returncode == 0, doctor.stdout
    own = (checkout / ".venv/pyvenv.cfg").read_text()
    assert "include-system-site-packages = false" in own
    consistent = run(".venv/bin/python", "-m", "pip", "check")
    assert consistent.returncode == 0, consistent.stdout
    listed = json.loads(run(".venv/bin/python", "-m", "pip", "list", "--format=json").stdout)
    versions = {one["name"].lower().replace("_", "-"): one["version"] for one in listed}
    others = {
        name: versions[name]
        for name, version in locked(checkout).items()
        if name in versions and versions[name].split("+")[0] != version
    }
    assert others == {}


def locked(checkout):
    """Name: version of everything in the lock."""
    lines = (checkout / "envs/requirements.lock").read_text().splitlines()
    pins = (line.partition(";")[0].strip() for line in lines if not line.startswith("#"))
    return dict(pin.split("==") for pin in pins)


@pytest.mark.usefixtures("doctor")
def test_the_lock_is_what_its_command_makes(checkout, run):
    lock = checkout / "envs/requirements.lock"
    before = lock.read_text()
    _, program, *arguments = before.splitlines()[1].split()
    reached = run(
        ".venv/bin/uv", "pip", "install", "--dry-run", "--python=.venv", "--reinstall", "idna"
    )
    if reached.returncode:
        pytest.skip(f"uv reaches no package index: {reached.stdout.strip().splitlines()[-1]}")
    made = run(f".venv/bin/{program}", *arguments)
    assert made.returncode == 0, made.stdout
    assert lock.read_text() == before


def test_the_doctor_finds_that_the_demo_can_run(run, doctor):
    verdicts = doctor.stdout.split("What can be done here\n")[1].splitlines()
    assert verdicts[0].split() == ["demo", "ready"]
    again = run(base_python(), "envs/bootstrap.py", "doctor", "--json")
    assert again.returncode == 0, again.stdout
    said, _, facts = again.stdout.partition("$ sdor doctor --json\n")
    assert said == "", "an unchanged project was set up again"
    checks = {one["name"]: one for one in json.loads(facts)["checks"]}
    assert checks["packages"]["seen"][0].endswith("/sdor/.venv/bin/python)")
    assert checks["ffmpeg"]["missing"] == []


@pytest.mark.usefixtures("doctor")
def test_the_demo_is_planned(run):
    planned = run(".venv/bin/snakemake", "--dry-run", "--cores", "1")
    assert planned.returncode == 0, planned.stdout
    for rule in ("render", "weights", "train", "report"):
        assert f"rule {rule}:" in planned.stdout
