"""Which stages run again after which change: the table of `workflow/reruns.md`, row by row.

`python tests/workflow/test_rerun_table.py` writes the table anew.
"""

import ast
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from workplace import PROJECT, Workplace, copy_project, prepare, write_images

TABLE = PROJECT / "workflow" / "reruns.md"
HEAD = """# What runs again

A finished study of one scene (three clips, one seed, two iterations, four variants of the paper's
approach and one of motion, competitors, feedback), one change, and what `snakemake` then does. A
test makes each change and compares.

| change | jobs | stages that run again |
|---|---:|---|
"""


def setting(key, value):
    return lambda work: work.configure(
        method={**yaml.safe_load((work.folder / "config.yaml").read_text())["method"], key: value}
    )


def section(name, **values):
    def change(work):
        before = yaml.safe_load((work.folder / "config.yaml").read_text()).get(name, {})
        work.configure(**{name: {**before, **values}})

    return change


def scene(change):
    def edit(work):
        path = work.folder / "scenes" / "yard.yaml"
        document = yaml.safe_load(path.read_text())
        change(document)
        path.write_text(yaml.safe_dump(document, sort_keys=False))

    return edit


def clip_added(work):
    frames = np.random.default_rng(1).integers(60, 120, (30, 48, 64), dtype=np.uint8)
    write_images(work.folder / "data" / "yard" / "calm3", frames)


def sampled(document):
    document.update(sample_fps=5)
    for clip in document["clips"]:
        clip.update(fps=10)


def round_finished(work):
    path = work.folder / "feedback" / "yard" / "round1.csv"
    path.parent.mkdir(parents=True)
    path.write_text("clip,frame,label\nevent,12,anomaly\n")


def line_added(module):
    def edit(work):
        path = work.project / "workflow" / "sdor" / f"{module}.py"
        path.write_text(path.read_text() + "\n_CHANGED = True\n")

    return edit


class Reworded(ast.NodeTransformer):
    """Other docstrings, log lines and messages of errors."""

    def visit_Expr(self, node):
        call = node.value
        if re.match(r"logger\.(info|warning|error)\(", ast.unparse(call)):
            call.args[0] = ast.Constant("other words: " + ast.unparse(call.args[0]))
        if isinstance(call, ast.Constant):
            node.value = ast.Constant("Other words.")
        return node

    def visit_Raise(self, node):
        for part in ast.walk(node):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                part.value = f"other words than {part.value}"
        return node


def reworded(work):
    for path in (work.project / "workflow" / "sdor").rglob("*.py"):
        tree = Reworded().visit(ast.parse(path.read_text()))
        path.write_text(f"# Other words.\n{ast.unparse(tree)}\n")


def replaced(file, old, new):
    def edit(work):
        path = work.project / "workflow" / file
        assert path.read_text().count(old) == 1
        path.write_text(path.read_text().replace(old, new))

    return edit


def data_moved(work):
    shutil.copytree(work.folder / "data", work.folder / "elsewhere", copy_function=shutil.copyfile)
    shutil.rmtree(work.folder / "data")
    work.configure(data_root="elsewhere")


def image_replaced(work):
    """By another of the same size and time."""
    image = work.folder / "data" / "yard" / "event" / "015.png"
    before, content = image.stat(), bytearray(image.read_bytes())
    content[-20] ^= 1
    image.write_bytes(content)
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES = {
    "nothing": lambda _: None,
    "comments, docstrings, layout, log lines and the words of errors, in every module": reworded,
    "the video copied to another folder, with other times": data_moved,
    "an image of a clip replaced by another of the same name, size and time": image_replaced,
    "`input_size` 64 → 96": setting("input_size", 96),
    "`frames.store` raw → jpeg": section("frames", store="jpeg"),
    "`features` pool → logits": setting("features", "logits"),
    "`pca` 10 → 5": setting("pca", 5),
    "`anomalous_fraction` 0.1 → 0.2": setting("anomalous_fraction", 0.2),
    "`learning_rate` 0.005 → 0.01": setting("learning_rate", 0.01),
    "the schema's default of `learning_rate`": replaced(
        "schemas/method.schema.yaml", "default: 0.005\n", "default: 0.01\n"
    ),
    "`iterations` 2 → 4": setting("iterations", 4),
    "`feedback.picks` 1 → 2": section("feedback", picks=2),
    "`feedback.replay` 0 → 1": section("feedback", replay=1),
    "a round of marks, which `watchlist` alone learns from": round_finished,
    "`evaluation.bootstrap_draws` 100 → 200": section("evaluation", bootstrap_draws=200),
    "a seed added": lambda work: work.configure(seeds=[0, 1]),
    "a competitor left out": lambda work: work.configure(
        competitors=["del_giorno_1", "del_giorno_2", "unmasking"]
    ),
    "the scene file: its description": scene(lambda it: it.update(description="A yard.")),
    "the scene file: a label": scene(
        lambda it: it["clips"][1].update(ground_truth={"ranges": [[12, 16]]})
    ),
    "the scene file: a mask moved": scene(lambda it: it["masks"][0].update(x=8)),
    "the scene file: its clips in another order": scene(lambda it: it["clips"].reverse()),
    "the scene file: `sample_fps` 5, of clips at 10 frames a second": scene(sampled),
    "a clip added": clip_added,
    "`motion.places` 3 → 2": section("motion", places=2),
    "`motion.fps` 5 → 10": section("motion", fps=10),
    "a line in `frames.py`": line_added("video/frames"),
    "a line in `initial.py`": line_added("method/initial"),
    "a line in `training.py`": line_added("method/training"),
    "a line in `flow.py`": line_added("method/flow"),
    "a line in `places.py`": line_added("method/places"),
    "a line in `metrics.py`": line_added("evaluation/metrics"),
    "a line in `saliency.py`": line_added("method/saliency"),
    "a line in `tables.py`": line_added("reporting/tables"),
    "the report's template": replaced("report/report.html.j2", "</body>", "<hr></body>"),
    "a number of the paper's": replaced(
        "report/reported.csv", "ResNet-50,,ped1,71.7", "ResNet-50,,ped1,71.8"
    ),
    "a line in `jobs.py`": line_added("running/jobs"),
}
# The rest waits for `envs/bootstrap.py test --all`: each row is a dry run.
ALWAYS = (
    "comments, docstrings, layout, log lines and the words of errors, in every module",
    "the schema's default of `learning_rate`",
    "`iterations` 2 → 4",
    "an image of a clip replaced by another of the same name, size and time",
    "the scene file: a label",
    "a line in `training.py`",
    "the report's template",
)


def row(change: str, jobs: Counter[str]) -> str:
    stages = [name if count == 1 else f"{name} ({count})" for name, count in sorted(jobs.items())]
    return f"| {change} | {sum(jobs.values())} | {', '.join(stages) or 'none'} |"


def after(change, finished: Workplace, folder: Path) -> Counter[str]:
    """What a dry run plans after a change beside a finished run, in copies of what may change."""
    project = copy_project(folder / "project", finished.project)
    for part in finished.folder.iterdir():
        made = part.name in ("results", ".snakemake")
        copy = shutil.copytree if part.is_dir() else shutil.copy2
        links = {"copy_function": os.link, "symlinks": True} if made else {}
        copy(part, folder / "work" / part.name, **links)
    work = Workplace(folder / "work", project=project)
    change(work)
    return work.planned_jobs()


@pytest.mark.parametrize(
    "change",
    [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.nightly) for name in CHANGES],
)
def test_the_table_tells_what_runs_again(finished, tmp_path, change):
    found = row(change, after(CHANGES[change], finished, tmp_path))
    assert found in TABLE.read_text().splitlines()


def test_the_table_has_no_other_rows():
    rows = [line for line in TABLE.read_text().splitlines() if line.startswith("| ")][1:]
    assert [line.split(" | ")[0].removeprefix("| ") for line in rows] == list(CHANGES)


def write() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = copy_project(Path(folder) / "project")
        finished = Workplace(prepare(Path(folder) / "finished"), project)
        done = finished.run()
        assert done.returncode == 0, done.stdout
        rows = [
            row(name, after(change, finished, Path(folder) / str(number)))
            for number, (name, change) in enumerate(CHANGES.items())
        ]
    TABLE.write_text(HEAD + "\n".join(rows) + "\n")


if __name__ == "__main__":
    sys.exit(write())
