"""Released video with trained weights: the numbers that a right build is known by."""

import json

import pandas as pd
import pytest
import yaml
from sklearn.metrics import roc_auc_score
from workplace import Workplace

from sdor.errors import SdorError
from sdor.networks.fetch import resolve_weights


@pytest.mark.nightly
@pytest.mark.data
@pytest.mark.weights
def test_initial_scores_of_ped2_are_where_they_should_be(data_root, tmp_path):
    weights = tmp_path / "resnet50.safetensors"
    try:
        resolve_weights("resnet50", "auto", weights)
    except SdorError as error:
        pytest.skip(str(error))
    config = {
        "data_root": str(data_root),
        "scenes": ["ped2"],
        "weights": {"resnet50": str(weights)},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    workplace = Workplace(tmp_path)
    targets = ["results/ped2/paper/seed0/initial.parquet", "results/ped2/audit.json"]
    done = workplace.run(*targets)
    assert done.returncode == 0, done.stdout
    summary = json.loads((tmp_path / targets[1]).read_text())
    assert (summary["frames"], summary["anomalous_frames"]) == (4560, 1648)
    assert summary["disagreements"] == {}
    scores = pd.read_parquet(tmp_path / targets[0])
    truth = pd.read_parquet(tmp_path / "results/ped2/ground_truth.parquet")
    both = scores.merge(truth, on=["clip", "frame"], validate="one_to_one")
    assert len(both) == 4560
    test = both[both["clip"].str.startswith("Test")]
    assert 0.74 < roc_auc_score(both["anomalous"], both["score"]) < 0.80
    assert 0.60 < roc_auc_score(test["anomalous"], test["score"]) < 0.67
