"""The paper's own values (`report/reported.csv`), and in what a run differs from the paper's."""

import json
from functools import cache
from pathlib import Path

import pandas as pd

from sdor.evaluation.about import About
from sdor.study.config import with_defaults
from sdor.study.settings import MotionMethod

FOLDER = Path(__file__).resolve().parents[2] / "report"
# The paper's backbones by our names: Table 1 is of ResNet-50, the others are in Table 2.
PAPERS_BACKBONE = "resnet50"
TABLE_2 = {"resnet50": "resnet50", "vgg16": "vgg16", "r3d_18": "3dconv", "i3d": "3dconv"}
# Its 3DConv is C3D (Tran et al. 2015): no network of ours, and at an input size it does not state.
THREE_D, THREE_D_NETWORK = "3dconv", "C3D"
# What does not train, and the settings that reach it.
INITIAL_ROWS = ("sp", "iforest", "speed", "relative_speed", "appearance", "initial")
FRAME_SETTINGS = ("input_size", "anomaly_rate")
FEATURE_SETTINGS = (*FRAME_SETTINGS, "features", "pca")
INITIAL_SETTINGS = (
    *FEATURE_SETTINGS,
    *("sp_bags", "sp_bag_size", "iforest_trees", "iforest_samples", "rescale"),
)
# By what rows begin with; all settings reach the others.
REACHED_BY = {
    **dict.fromkeys(INITIAL_ROWS, INITIAL_SETTINGS),
    "del_giorno_1": FEATURE_SETTINGS,
    "unmasking": FRAME_SETTINGS,
    "two_sample": FRAME_SETTINGS,
}
# The paper says nothing about masks, so they make no difference to it.
NOT_COMPARED = ("backbone", "masks")
# The paper quotes these from other papers, which judged test data alone: two rows that we run too,
# and a whole block of its Table 1.
OTHER_PROTOCOL = ("unmasking", "two_sample_test")
QUOTED_BLOCK = "labelled normal data"
TEST_DATA_ALONE = "other protocol: test data alone"
SAME, DIFFER = "same", "differ: "


@cache
def reported() -> pd.DataFrame:
    """The paper's own values: table, block, method, name, reference, scene, auc (percent)."""
    return pd.read_csv(FOLDER / "reported.csv", keep_default_na=False)


@cache
def paper_values() -> dict[tuple[int, str, str], float]:
    """(table, method or backbone, scene): the AUC (percent) that the paper reports."""
    columns = (reported()[name] for name in ("table", "method", "scene", "auc"))
    return {(table, method, scene): auc for table, method, scene, auc in zip(*columns, strict=True)}


def paper_method(row: str) -> str:
    """The paper's name of a row: it has one value where we run several settings."""
    return row.rpartition("_w")[0] if row.startswith("del_giorno") else row


def differing_settings(about: About, row: str, *, with_backbone: bool = False) -> str:
    """Settings that reach a row and are not the schema's defaults.

    The defaults are the paper's settings where it states them, and this project's elsewhere.

    Parameters
    ----------
    with_backbone : the row stands beside values of the paper's own backbone, and not beside those
        of its Table 2.

    Returns
    -------
    Ours, and the default in parentheses, such as "epochs 8 (50), iterations 3 (5)"; empty: none.
    """
    paper, method = with_defaults({}, "method"), about.method.as_document()
    backbone = about.method.backbone
    every = tuple(key for key in paper if key not in NOT_COMPARED)
    keys = next((some for start, some in REACHED_BY.items() if row.startswith(start)), every)
    found = []
    if isinstance(about.method, MotionMethod) and not set(keys) <= {*FRAME_SETTINGS}:
        keys, found = (), ["approach motion (paper)"]
    if with_backbone:
        keys = ("backbone", *keys)
    elif TABLE_2.get(backbone) == THREE_D:
        found.append(f"backbone {backbone} ({THREE_D_NETWORK})")
        keys = tuple(key for key in keys if key != "input_size")
    found += [
        f"{key} {setting(method[key])} ({setting(paper[key])})"
        for key in keys
        if method[key] != paper[key]
    ]
    if about.weights is not None and about.weights.source == "random":
        found.append("weights random (trained)")
    return ", ".join(found)


def settings_text(about: About, row: str, *, with_backbone: bool = False) -> str:
    """Whether the paper's value beside a row is for the same thing: "same", or what is not.

    Parameters
    ----------
    with_backbone : see `differing_settings`.
    """
    found = [TEST_DATA_ALONE] if row in OTHER_PROTOCOL else []
    differing = differing_settings(about, row, with_backbone=with_backbone)
    return "; ".join([*found, *([DIFFER + differing] if differing else [])]) or SAME


def overrides_text(about: About, *, without: str = "") -> str:
    """What a variant changes in the method of its config, such as "features softmax"."""
    changed = {key: value for key, value in about.overrides.items() if key != without}
    return ", ".join(f"{key} {setting(value)}" for key, value in changed.items())


def weights_text(about: About) -> str:
    """Where a run's weights come from, with the beginning of their digest."""
    if about.weights is None:
        return "not stated"
    digest = f" (sha256 {about.weights.sha256[:12]})" if about.weights.sha256 else ""
    return f"{about.weights.source}{digest}"


def setting(value: object) -> str:
    """A setting as it is written in YAML."""
    return value if isinstance(value, str) else json.dumps(value)
