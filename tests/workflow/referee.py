"""What a study found, in two tables that say nothing of files: scores by frame, and findings.

The tables of three finished studies lie in `expected/`, and every change of the code is held to
them. Where a number changes on purpose, write them anew from a finished run, and say so:

    python tests/workflow/referee.py FOLDER NAME     (of the run's results; small, several or demo)
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from sdor.method.marks import lengths_of, read_marks, widened

EXPECTED = Path(__file__).parent / "expected"
FRAME = ["scene", "clip", "frame"]
FINDING = ["scene", "variant", "seed", "row", "way", "metric", "against", "round"]
VALUES = ["value", "low", "high"]
# Other processors add up in other orders. Of most scores that changes the seventh digit; nearly
# singular regressions, heads on optical flow of noise, and trainings on the few frames that were
# marked make more of it.
TOLERANCES = {"labels": 0, "del_giorno": 1e-3, "moving": 5e-3, "feedback": 0.1, "": 1e-5}
MEASURED_OF_NOISE = 1e-3  # of findings of the variant "moving"
ROUNDING = 1e-6  # of scores near 0, in another build of torch


def scores_of(results: Path) -> pd.DataFrame:
    """Every score, pseudo label and mark of a study: a row a frame, a column a detector."""
    scenes = []
    for clips in sorted(results.glob("*/clips.parquet")):
        scene, columns = clips.parent, {}
        for path in sorted(scene.glob("competitors/*/*.parquet")):
            columns[path.stem] = column_of(path)
        for run in sorted(scene.glob("*/seed*")):
            of_run = {}
            for path in sorted(run.glob("competitors/*.parquet")):
                of_run[path.stem] = column_of(path)
            if (run / "initial.parquet").exists():  # else those of another variant
                initial = pd.read_parquet(run / "initial.parquet").columns
                for name in initial.drop(["clip", "frame", "row"], errors="ignore"):
                    of_run[f"initial {name}"] = column_of(run / "initial.parquet", name)
            for path in sorted(run.glob("iteration*/scores.parquet")):
                of_run[f"{path.parent.name} scores"] = column_of(path)
            for path in sorted(run.glob("iteration*/pseudo_labels.parquet")):
                if (path.parent / "places.npy").exists():
                    continue  # labels of places
                of_run[f"{path.parent.name} labels"] = column_of(path, "label")
                of_run[f"{path.parent.name} weights"] = column_of(path, "weight")
            for path in sorted(run.glob("feedback/*/scores.parquet")):
                of_run[f"feedback {path.parent.name} scores"] = column_of(path)
                of_run[f"feedback {path.parent.name} labels"] = marked_in(path)
            of_run["ensemble"] = column_of(run / "ensemble.parquet")
            variant, seed = run.parts[-2:]
            columns |= {f"{variant} {seed} {name}": found for name, found in of_run.items()}
        scenes.append(pd.concat({scene.name: pd.DataFrame(columns)}, names=["scene"]))
    table = pd.concat(scenes).reset_index()
    return table[[*FRAME, *sorted(table.columns.difference(FRAME))]]


def column_of(path: Path, name: str = "score") -> pd.Series:
    column = pd.read_parquet(path).set_index(["clip", "frame"])[name]
    return column.astype("Int64") if name == "label" else column.astype(float)


def marked_in(scores: Path) -> pd.Series:
    """What phi is fine-tuned on after a round and was not before it."""
    feedback, number = scores.parents[1], int(scores.parent.name.removeprefix("round"))
    settings = json.loads((feedback.parent / "feedback.json").read_text())["settings"]
    index = pd.read_parquet(scores)
    paths = [feedback / f"round{one}" / "marks.csv" for one in range(1, number + 1)]
    marks = widened(read_marks(paths, lengths_of(index)), index, settings["neighbours"])
    labels = marks[marks["round"] == number].set_index(["clip", "frame"])["label"]
    return labels.astype("Int64")


def findings_of(results: Path) -> pd.DataFrame:
    """Every measured value of a study: what it is of, the value and the bounds of its interval."""
    table = pd.read_parquet(results / "findings.parquet")
    return table.loc[table["source"] == "measured", [*FINDING, *VALUES]]


def check_scores(results: Path, name: str) -> None:
    """Labels are equal, scores within TOLERANCES of themselves or of their spread."""
    found, expected = scores_of(results), pd.read_csv(EXPECTED / f"{name}-scores.csv")
    assert list(found.columns) == list(expected.columns)
    assert found[FRAME].to_numpy().tolist() == expected[FRAME].to_numpy().tolist()
    for column in expected.columns.drop(FRAME):
        now = found[column].astype("Float64").to_numpy(float, na_value=np.nan)
        limit = next(limit for kind, limit in TOLERANCES.items() if kind in column)
        spread = limit * expected[column].std() + ROUNDING if limit else 0
        near = {"rtol": limit, "atol": spread, "err_msg": column}
        np.testing.assert_allclose(now, expected[column], **near)


def check_findings(
    results: Path,
    name: str,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-9,
    most: float = 1,
    rest: float = 0,
) -> None:
    """What was found before is found again; findings may be added.

    Parameters
    ----------
    most : share of them that is held to the tolerances. rest : absolute tolerance of the others.
    """
    numbers = {"seed": "Int64", "round": "Int64"}
    expected = by_key(pd.read_csv(EXPECTED / f"{name}-findings.csv", dtype=numbers))
    found = by_key(findings_of(results))
    gone = expected.index.difference(found.index)
    assert gone.empty, f"{len(gone)} findings are gone, the first is {gone[0]}"
    both = expected.add_suffix(" before").join(found.add_suffix(" now"))
    before, now = (both[[f"{one} {when}" for one in VALUES]] for when in ("before", "now"))
    noise = both.index.get_level_values("variant") == "moving"
    limits = np.where(noise, MEASURED_OF_NOISE, rtol)[:, None]
    same = np.isclose(now, before, rtol=limits, atol=atol, equal_nan=True).all(axis=1)
    near = same | np.isclose(now, before, rtol=0, atol=rest, equal_nan=True).all(axis=1)
    words = f"{(~same).sum()} of {len(same)} findings differ:\n{both[~same].head(20).to_string()}"
    assert same.mean() >= most, words
    assert near.all(), words


def by_key(findings: pd.DataFrame) -> pd.DataFrame:
    key = pd.MultiIndex.from_frame(findings[FINDING].astype("string").fillna(""))
    assert key.is_unique
    return findings[VALUES].set_index(key)


def write(results: Path, name: str) -> None:
    """Take what a study found as what is expected."""
    findings_of(results).to_csv(EXPECTED / f"{name}-findings.csv", index=False, float_format="%.8g")
    if name != "demo":
        scores_of(results).to_csv(EXPECTED / f"{name}-scores.csv", index=False, float_format="%.8g")


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2])
