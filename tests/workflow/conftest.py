import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from filelock import FileLock
from workplace import CONFIG, Workplace, prepare


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """Data and config, nothing run."""
    return prepare(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="session")
def finished(prepared, tmp_path_factory) -> Workplace:
    """A workplace with a complete run, to be looked at and not changed."""
    return complete("finished", prepared, tmp_path_factory, {})


@pytest.fixture
def fresh(prepared, tmp_path) -> Workplace:
    """A workplace of one's own in which nothing has run."""
    shutil.copytree(prepared, tmp_path / "work")
    return Workplace(tmp_path / "work")


@pytest.fixture
def lean(fresh) -> Workplace:
    """A workplace of one's own with the main variant alone, in which nothing has run."""
    (fresh.folder / "config.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False))
    return fresh


@pytest.fixture(scope="session")
def undisturbed(prepared, tmp_path_factory) -> Workplace:
    """A complete run of the main variant alone that nothing came in the way of."""
    return complete("undisturbed", prepared, tmp_path_factory, CONFIG)


@pytest.fixture
def begun(undisturbed, tmp_path) -> Workplace:
    """A workplace of one's own with the main variant alone, before its first training."""
    shutil.copytree(undisturbed.folder, tmp_path / "work", symlinks=True)
    run = tmp_path / "work/results/yard/tiny/seed0"
    for path in run.iterdir():
        if path.name.startswith("iteration"):
            shutil.rmtree(path)
        elif path.name != "initial.parquet":
            path.unlink()
    return Workplace(tmp_path / "work")


def complete(name, prepared, tmp_path_factory, config) -> Workplace:
    """A complete run, made once for all test processes."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    workplace, whole = Workplace(folder / name / "work"), folder / name / "whole"
    with FileLock(folder / f"{name}.lock"):
        if not whole.exists():
            shutil.copytree(prepared, workplace.folder, dirs_exist_ok=True)
            if config:
                path = workplace.folder / "config.yaml"
                path.write_text(yaml.safe_dump(config, sort_keys=False))
            done = workplace.run()
            assert done.returncode == 0, done.stdout
            whole.touch()
    return workplace


@pytest.fixture
def copy(finished, tmp_path) -> Callable[[], Workplace]:
    """Copies the finished workplace, times of files included."""

    def make() -> Workplace:
        shutil.copytree(finished.folder, tmp_path / "copy", symlinks=True)
        return Workplace(tmp_path / "copy")

    return make
