"""Values over the seeds, in percent, out of the table of findings."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from sdor.reporting.findings import MEASURED, Findings


class Value(NamedTuple):
    """One metric of one row over the seeds, in percent; NaN where there is none.

    Attributes
    ----------
    std : standard deviation between seeds; NaN for one seed.
    low, high : bounds of the 95 % interval, averaged over the seeds.
    reason : why there is no value, or no interval.
    """

    mean: float
    std: float
    low: float
    high: float
    seeds: int
    reason: str


# By row and metric.
Values = Mapping[tuple[str, str], Value]


def of_seeds(findings: Findings, variants: Iterable[str]) -> pd.DataFrame:
    """The measured rows of some variants that are of a scene's own frames and no differences."""
    table = findings.table
    plain = (table[["way", "against"]] == "").all(axis=1) & table["round"].isna()
    return table[plain & (table["source"] == MEASURED) & table["variant"].isin(list(variants))]


def measured(
    findings: Findings, variants: Iterable[str]
) -> tuple[dict[str, dict[str, Values]], dict[str, str]]:
    """Scene: variant: its values where there is a merged AUC; and why other scenes have none."""
    runs: dict[str, dict[str, dict[tuple[str, str], Value]]] = {}
    keys = ["scene", "variant", "row", "metric"]
    for place, seeds in of_seeds(findings, variants).groupby(keys, sort=False):
        scene, variant, row, metric = map(str, place)
        mean, low, high = 100 * seeds[["value", "low", "high"]].mean()
        value = (mean, 100 * seeds["value"].std(), low, high, len(seeds), seeds["reason"].iloc[0])
        runs.setdefault(scene, {}).setdefault(variant, {})[row, metric] = Value(*value)
    shown: dict[str, dict[str, Values]] = {}
    missing: dict[str, str] = {}
    for scene, found in runs.items():
        for variant, values in found.items():
            if np.isnan(values["ours", "merged"].mean):
                missing[scene] = values["ours", "merged"].reason
            else:
                shown.setdefault(scene, {})[variant] = values
    return shown, {scene: why for scene, why in missing.items() if scene not in shown}


def most_seeds(scenes: Mapping[str, Mapping[str, Values]]) -> int:
    """Over how many seeds the values of a figure are, at most."""
    groups = [values for variants in scenes.values() for values in variants.values()]
    return max(values["ours", "merged"].seeds for values in groups)
