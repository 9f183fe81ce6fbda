"""Which stages run again after a change in the code."""

import json
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest
from workplace import PROJECT, Workplace, copy_project

# The modules that each stage calls into; what they import in turn is found by importing them.
STAGES = {
    "frames": ["video.frames", "video.cuts"],
    "clips": ["video.frames", "video.store", "video.cuts"],
    "audit": ["video.audit", "video.cuts"],
    "weights": ["networks.fetch"],
    "features": ["method.features"],
    "trunk": ["method.features"],
    "subset": ["study.subset"],
    "hidden": ["method.saliency"],
    "saliency": ["method.saliency"],
    "del_giorno": ["competitors.del_giorno"],
    "unmasking": ["competitors.unmasking"],
    "two_sample_test": ["competitors.unmasking"],
    "mark": ["evaluation.expert"],
    "fine_tune": ["method.feedback", "method.training"],
    "evaluate_feedback": ["evaluation.feedback"],
    "paper_tables": ["reporting.paper_tables"],
    "paper_figures": ["reporting.paper_figures", "video.cuts"],
    "initial": ["method.initial"],
    "pseudo_labels": ["method.pseudo_labels"],
    "train": ["method.training"],
    "ensemble": ["method.scores"],
    "evaluate": [
        "evaluation.evaluate",
        "method.scores",
        "method.training",
        "method.pseudo_labels",
        "method.initial",
    ],
    "tables": ["reporting.tables"],
    "figures": ["reporting.figures"],
    "track": ["tracking.record"],
    "report": ["reporting.report"],
    "stage_times": ["reporting.stage_times"],
}
# Whose outputs each stage reads and follows.
READS = {
    "clips": ["frames"],
    "audit": ["clips"],
    "features": ["frames", "weights"],
    "trunk": ["frames", "weights"],
    "subset": ["clips", "audit"],
    "initial": ["features"],
    "hidden": ["train", "initial", "trunk", "weights"],
    "saliency": ["train", "initial", "trunk", "frames", "weights"],
    "del_giorno": ["features", "hidden"],
    "unmasking": ["features", "frames"],
    "two_sample_test": ["features", "frames"],
    "mark": ["audit", "train", "fine_tune"],
    "fine_tune": ["mark", "train", "initial", "trunk", "weights"],
    "evaluate_feedback": ["clips", "audit", "train", "fine_tune", "mark"],
    "pseudo_labels": ["initial", "train"],
    "train": ["pseudo_labels", "initial", "trunk", "weights"],
    "ensemble": ["train"],
    "evaluate": [
        *("clips", "audit", "initial", "train", "pseudo_labels", "ensemble", "weights"),
        *("del_giorno", "unmasking", "two_sample_test"),
    ],
    "tables": ["evaluate"],
    "paper_tables": ["evaluate", "evaluate_feedback"],
    "paper_figures": [
        *("evaluate", "clips", "audit", "frames", "saliency", "ensemble"),
        *("train", "fine_tune", "mark"),
    ],
    "figures": ["evaluate", "clips", "audit"],
    "stage_times": [
        *("evaluate", "evaluate_feedback", "tables", "paper_tables", "figures", "paper_figures")
    ],
    "track": [
        *("evaluate", "evaluate_feedback", "tables", "paper_tables", "stage_times", "figures"),
        *("paper_figures", "train", "fine_tune", "ensemble", "frames", "weights"),
    ],
    "report": [
        *("evaluate", "evaluate_feedback", "figures", "paper_figures", "clips"),
        *("audit", "ensemble", "frames"),
    ],
}
# The variant with fewer anomalies is a run of its own, with neither figures nor competitors.
OF_THE_SUBSET = {
    *("subset", "initial", "pseudo_labels", "train", "ensemble", "evaluate"),
    *("tables", "paper_tables", "paper_figures", "stage_times"),
    *("track", "report"),
}
# Of these, a real dry run is made: what stages call into, what all of them use, and what none does.
LOGGING = {"running.jobs", "progress"}
ENTRIES = sorted({name for names in STAGES.values() for name in names} | {"errors"} | LOGGING)
PACKAGE = PROJECT / "workflow" / "sdor"
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in PACKAGE.rglob("[a-z]*.py")
)


@pytest.fixture(scope="module")
def depends():
    """Modules of the package that each stage really loads, as Python itself tells.

    What `jobs` loads is not among them: logging has no effect on results.
    """
    without_jobs = (
        "from unittest.mock import MagicMock; sys.modules['sdor.running.jobs'] = MagicMock()"
    )
    tell = "print(*sorted(name[5:] for name in sys.modules if name.startswith('sdor.')))"

    def loaded(names):
        imports = "; ".join(f"import sdor.{name}" for name in names)
        code = f"import sys; {without_jobs}; {imports}; {tell}"
        command = [sys.executable, "-c", code]
        environment = {"PYTHONPATH": str(PROJECT / "workflow")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return set(done.stdout.split()) - LOGGING

    known = {tuple(names): loaded(names) for names in STAGES.values()}
    return {stage: known[tuple(names)] for stage, names in STAGES.items()}


@pytest.fixture(scope="module")
def edited(finished, tmp_path_factory):
    """A finished run together with a copy of the project whose code may be changed."""
    folder = tmp_path_factory.mktemp("edited")
    copy_project(folder / "project")
    shutil.copytree(finished.folder, folder / "work", symlinks=True)
    return Workplace(folder / "work", project=folder / "project")


def test_a_copy_of_the_code_reruns_nothing(edited):
    assert edited.planned() == set()


@pytest.mark.parametrize("module", ENTRIES)
def test_a_changed_line_reruns_exactly_the_stages_that_use_it(edited, depends, module):
    with line_added(edited, module):
        planned = edited.planned()
    assert planned == with_followers({name for name in STAGES if module in depends[name]})


@pytest.mark.parametrize("module", MODULES)
def test_a_changed_line_changes_the_code_of_all_that_load_it(edited, depends, module):
    before = codes(edited)
    with line_added(edited, module):
        after = codes(edited)
    changed = {stage for stage in STAGES if after[stage] != before[stage]}
    assert changed == {stage for stage in STAGES if module in depends[stage]}


@contextmanager
def line_added(edited, module):
    path = edited.project / "workflow" / "sdor" / f"{module.replace('.', '/')}.py"
    before = path.read_text()
    path.write_text(before + "\n_CHANGED = True\n")
    try:
        yield
    finally:
        path.write_text(before)


def codes(edited):
    """What the rules of a project's copy would be told of the code of each stage."""
    names = {stage: [f"sdor.{name}" for name in names] for stage, names in STAGES.items()}
    code = (
        "import json, sys; from sdor.study.fingerprint import code_of; "
        "print(json.dumps({stage: code_of(*it) for stage, it in json.loads(sys.argv[1]).items()}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(names)],
        env={"PYTHONPATH": str(edited.project / "workflow")},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def with_followers(stages):
    """The stages and all that read what they make, directly or not."""
    followers = {name for name, sources in READS.items() if stages.intersection(sources)}
    if followers <= stages:
        return stages | (OF_THE_SUBSET if "subset" in stages else set())
    return with_followers(stages | followers)


def test_comments_and_docstrings_rerun_nothing(edited):
    paths = list((edited.project / "workflow" / "sdor").rglob("*.py"))
    before = {path: path.read_text() for path in paths}
    for path, text in before.items():
        more = text.replace('"""', '"""More words. ', 1)
        path.write_text(f"# a comment\n{more}\n# another one\n")
    try:
        assert edited.planned() == set()
    finally:
        for path, text in before.items():
            path.write_text(text)
