"""Several scenes and seeds at once: masks, pixel masks, a pool, a scene without any label."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from referee import check_findings, check_scores
from workplace import CONFIG, Workplace, write_images

pytestmark = pytest.mark.nightly
SCENES = {
    "yard": {
        "root": "yard",
        "clips": [
            {"images": "calm*", "split": "train", "ground_truth": "normal"},
            {"images": "event", "split": "test", "ground_truth": {"ranges": [[11, 16]]}},
        ],
    },
    # The upper left corner is hidden from the method; pixel masks say where the event is.
    "gate": {
        "root": "gate",
        "masks": [{"x": 0, "y": 0, "width": 16, "height": 8}],
        "clips": [
            {"images": "calm*", "split": "train", "ground_truth": "normal"},
            {"images": "event", "split": "test", "ground_truth": {"pixel_masks": "{clip}_gt"}},
        ],
    },
    "street": {"root": "street", "clips": [{"images": "*"}]},
}
STUDY = {
    "scenes": list(SCENES),
    "seeds": [0, 1],
    "main": "tiny",
    "variants": {
        "tiny": {},
        "logits": {"features": "logits"},
        "unmasked": {"masks": False},
    },
    "ablations": {
        "initial_features": {"variants": ["tiny", "logits"], "scenes": ["yard"]},
        "burnt-in_caption": {"variants": ["tiny", "unmasked"], "scenes": ["gate"]},
    },
    "competitors": ["unmasking"],
    "pools": {"both": {"scenes": ["yard", "gate"]}},
}


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    rng = np.random.default_rng(1)
    for scene in SCENES:
        for name in ("calm1", "event"):
            frames = rng.integers(60, 120, (40, 48, 64), dtype=np.uint8)
            if name == "event":
                frames[10:16, 20:44, 30:60] = rng.integers(180, 255, (6, 24, 30), dtype=np.uint8)
            write_images(folder / "data" / scene / name, frames)
    drawn = np.zeros((40, 48, 64), dtype=np.uint8)
    drawn[10:16, 20:44, 30:60] = 255
    write_images(folder / "data" / "gate" / "event_gt", drawn)
    (folder / "scenes").mkdir()
    for name, scene in SCENES.items():
        (folder / "scenes" / f"{name}.yaml").write_text(yaml.safe_dump(scene))
    method = {**CONFIG["method"], "trainable": "head"}
    config = {**CONFIG, **STUDY, "method": method}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    workplace = Workplace(folder)
    done = workplace.run()
    assert done.returncode == 0, done.stdout
    return workplace


def test_scores_and_findings_are_those_of_before(several):
    check_scores(several.folder / "results", "several")
    check_findings(several.folder / "results", "several")


def test_every_seed_is_judged_and_the_table_gives_their_spread(several):
    results = several.folder / "results"
    for seed in (0, 1):
        metrics = json.loads((results / f"yard/tiny/seed{seed}/metrics.json").read_text())
        assert metrics["about"]["seed"] == seed
    table = pd.read_csv(results / "tables" / "auc.csv").fillna({"against": ""})
    wanted = {"scene": "yard", "variant": "tiny", "row": "ours", "metric": "merged", "against": ""}
    ours = table[(table[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    assert ours["seeds"].tolist() == [2]
    assert ours["std"].notna().all()


def test_pools_hold_all_frames_of_their_scenes(several):
    for way in ("raw", "ranks"):
        path = several.folder / f"results/pools/both/tiny/seed1/{way}.json"
        pooled = json.loads(path.read_text())
        assert pooled["about"]["pooled"] == ["yard", "gate"]
        assert pooled["counts"]["frames"] == 160
        assert pooled["counts"]["anomalous_frames"] == 12
        assert 0.5 < pooled["rows"]["initial"]["merged"]["value"] <= 1


def test_pixel_masks_are_measured_and_other_scenes_are_not(several):
    results = several.folder / "results"
    found = json.loads((results / "gate/tiny/seed0/localisation.json").read_text())
    assert found["counts"]["regions"] == 6
    assert found["all_clips"]["pixel_auc"]["value"] is not None
    assert not (results / "yard/tiny/seed0/localisation.json").exists()


def test_masks_hide_what_they_cover_from_one_view_only(several):
    frames = several.folder / "results/gate/frames"
    assert np.load(frames / "64/calm1.npy")[:, 0, 0].max() == 0
    assert np.load(frames / "64-unmasked/calm1.npy")[:, 0, 0].max() > 0


def test_a_scene_without_labels_is_ranked_and_said_to_be_unmeasured(several):
    results = several.folder / "results"
    answer = pd.read_parquet(results / "street/tiny/seed0/ensemble.parquet")
    assert len(answer) == 80
    assert "street" in (results / "tables" / "table1.md").read_text()
    assert "no ground truth" in (results / "report.html").read_text()


def test_a_second_call_does_nothing(several):
    done = several.run()
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout
