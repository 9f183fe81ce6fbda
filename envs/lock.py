"""Write the locks anew: the newest versions that pyproject.toml allows, resolved by pip.

    python3 envs/lock.py            everything anew
    python3 envs/lock.py --hold     what is locked stays at its version; for a new dependency

Run it with the oldest Python that the project takes, on Linux x86_64, where pip finds torch as the
Python package index has it. Writes runtime.lock, cpu.lock, cuda.lock, test.lock and npm.lock.
Nothing is installed; but where an index does not serve the metadata of a package by itself, pip
downloads the package, and those of CUDA are some gigabytes.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
NETWORK = ("torch", "torchvision")
CUDA = re.compile(r"(nvidia|cuda)-.*|triton")
LINUX = 'platform_system == "Linux"'
Pins = dict[str, str]


def main() -> int:
    """Resolve, split, write; returns the exit status."""
    if sys.argv[1:] not in ([], ["--hold"]):
        print(__doc__)
        return 2
    held = locked() if sys.argv[1:] else {}
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    found = resolve(project["dependencies"], held)
    cuda = {name: version for name, version in found.items() if CUDA.fullmatch(name)}
    if not cuda:
        print(
            "sdor: torch came without CUDA: pip found a CPU build of it; clear PIP_INDEX_URL, "
            "PIP_EXTRA_INDEX_URL and PIP_FIND_LINKS, and run on Linux x86_64",
            file=sys.stderr,
        )
        return 1
    network = {name: found[name] for name in NETWORK}
    runtime = {name: found[name] for name in found.keys() - cuda.keys() - network.keys()}
    # No tool of the tests needs torch; the versions that both need are those of the runtime.
    tests = resolve(extras["dev"], held | runtime)
    npm = resolve(extras["npm"], held | runtime)
    write(HERE / "runtime.lock", runtime)
    write(HERE / "cpu.lock", network)
    # Other systems have no such packages; there torch is without CUDA, or brings it itself.
    write(HERE / "cuda.lock", network, {name: f"{cuda[name]}; {LINUX}" for name in cuda})
    write(HERE / "test.lock", {name: tests[name] for name in tests.keys() - runtime.keys()})
    write(HERE / "npm.lock", {name: npm[name] for name in npm.keys() - runtime.keys()})
    return 0


def resolve(requirements: list[str], constraints: Pins) -> Pins:
    """Name and version of all that pip would install into an empty environment."""
    with tempfile.TemporaryDirectory() as scratch:
        report, limits = Path(scratch, "report.json"), Path(scratch, "constraints.txt")
        limits.write_text("".join(f"{name}=={constraints[name]}\n" for name in constraints))
        pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        options = ["--report", str(report), "--constraint", str(limits)]
        subprocess.run([*pip, *options, *requirements], check=True)
        packages = [entry["metadata"] for entry in json.loads(report.read_text())["install"]]
    # A local version (2.13.0+cpu) is one build of the release that is locked.
    return {canonical(one["name"]): one["version"].split("+")[0] for one in packages}


def locked() -> Pins:
    """All that the locks hold now."""
    lines = [line for path in HERE.glob("*.lock") for line in path.read_text().splitlines()]
    return dict(line.partition(";")[0].strip().split("==") for line in lines)


def canonical(name: str) -> str:
    """The name in the one spelling that package indexes compare."""
    return re.sub(r"[-_.]+", "-", name).lower()


def write(path: Path, *parts: Pins) -> None:
    """One line a package, each part in the order of its names."""
    lines = [f"{name}=={part[name]}" for part in parts for name in sorted(part)]
    path.write_text("".join(f"{line}\n" for line in lines))
    print(f"{path}: {len(lines)} packages")


if __name__ == "__main__":
    sys.exit(main())
