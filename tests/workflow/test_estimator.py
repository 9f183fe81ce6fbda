"""The estimator gives the scores of the workflow: they run the same functions."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from workplace import CONFIG, LENGTHS, SCENE

from sdor import SelfTrainedOrdinalRegression


@pytest.mark.parametrize(
    ("variant", "changes"), [("tiny", {}), ("l2", {"loss": "l2", "trainable": "head"})]
)
def test_the_estimator_gives_the_scores_of_the_workflow(finished, variant, changes):
    data = finished.folder / "data" / SCENE["root"]
    clips = [
        np.stack([np.asarray(Image.open(path)) for path in sorted((data / name).glob("*.png"))])
        for name in LENGTHS
    ]
    for frames in clips:
        for mask in SCENE["masks"]:
            right, bottom = mask["x"] + mask["width"], mask["y"] + mask["height"]
            frames[:, mask["y"] : bottom, mask["x"] : right] = 0
    settings = {"weights": "random", "device": "cpu", "precision": "fp32", "random_state": 0}
    model = SelfTrainedOrdinalRegression(**{**CONFIG["method"], **changes, **settings}).fit(clips)
    scene = finished.folder / "results" / "yard"
    ours = {
        "tiny/seed0/initial.parquet": model.initial_scores_,
        f"{variant}/seed0/iteration1/scores.parquet": model.iteration_scores_[0],
        f"{variant}/seed0/iteration2/scores.parquet": model.iteration_scores_[1],
        f"{variant}/seed0/ensemble.parquet": model.scores_,
    }
    for name, scores in ours.items():
        np.testing.assert_allclose(scores, pd.read_parquet(scene / name)["score"], rtol=1e-6)
