import pytest
import yaml

from sdor.study.layout import Run, cuts, judged, pooled, rendered, runs, stored_frames
from sdor.study.settings import FrameSettings
from sdor.study.study import read_study, with_scenes

CONFIG = {
    "scenes": ["plaza"],
    "seeds": [0, 3],
    "main": "paper",
    "variants": {
        "paper": {"iterations": 3},
        "warm": {"iterations": 3, "restart": "warm", "labels_from": "ensemble"},
        "kept": {"trainable": "layer4", "input_size": 64, "masks": False},
        "head": {"trainable": "head", "features": "logits", "loss": "l2"},
        "head-l1": {"trainable": "head", "features": "logits"},
        "rare": {"anomaly_rate": 0.1},
    },
    "anomaly_rates": {"variants": ["rare"]},
    "ablations": {"all": {"variants": ["paper", "warm", "kept", "head", "head-l1"]}},
    "competitors": ["del_giorno_2", "unmasking", "two_sample_test"],
    "feedback": {"rounds": 2},
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = with_scenes(read_study(CONFIG, "c.yaml", data_root_given=False))
    return lambda variant="paper", seed=0: Run(study, "plaza", variant, seed)


def test_a_study_has_a_run_for_each_variant_and_seed(run):
    folders = [one.folder for one in runs(run().study)]
    assert folders[:2] == ["results/plaza/paper/seed0", "results/plaza/paper/seed3"]
    assert len(folders) == len(set(folders)) == 12


def test_what_trains_says_what_a_training_starts_from(run):
    assert run("head").rows == ["results/plaza/features/resnet50-pool-224.parquet"]
    assert run("kept").rows == ["results/plaza/trunk/resnet50-64-unmasked.npy"]
    assert run().rows[1] == "results/plaza/frames/224/clip02.npy"
    assert run("head").mapped_rows == list(run("head").frames.values())
    assert run("kept").mapped_rows == run("kept").rows
    assert run().weights == "results/weights/resnet50.safetensors"


def test_initial_scores_are_shared_where_variants_start_alike(run):
    assert run("warm", 3).initial == "results/plaza/paper/seed3/initial.parquet"
    assert run("head-l1").initial == "results/plaza/head/seed0/initial.parquet"
    assert run("rare").initial == "results/plaza/rare/seed0/initial.parquet"
    assert run("rare").subset == {"subset": "results/plaza/rare/seed0/subset.parquet"}
    assert run().subset == {}
    assert run("head").features() == "results/plaza/features/resnet50-logits-224.parquet"


def test_an_iteration_follows_from_those_before(run):
    folder = "results/plaza/warm/seed0"
    assert run().scores_before(1) == [run().initial]
    assert run().scores_before(3) == ["results/plaza/paper/seed0/iteration2/scores.parquet"]
    assert run("warm").scores_before(3) == [
        f"{folder}/iteration1/scores.parquet",
        f"{folder}/iteration2/scores.parquet",
    ]
    assert run("warm").model_before(1) == run().model_before(2) == []
    assert run("warm").model_before(2) == [f"{folder}/iteration1/model.safetensors"]


def test_a_round_of_feedback_follows_from_those_before(run):
    folder = "results/plaza/paper/seed0"
    assert run().round_before(1, "model.safetensors") == f"{folder}/iteration3/model.safetensors"
    assert run().round_before(2, "a.npy") == f"{folder}/feedback/round1/a.npy"
    assert run().rounds("a.npy", before=1) == []
    assert len(run().rounds("a.npy")) == 2


def test_competitors_run_beside_our_method(run):
    own, shared = "results/plaza/paper/seed0/competitors", "results/plaza/competitors/resnet50-224"
    assert run("head").competitors == {}
    assert run().competitors == {
        "del_giorno_2_w100": f"{own}/del_giorno_2_w100.parquet",
        "del_giorno_2_w10": f"{own}/del_giorno_2_w10.parquet",
        "unmasking_appearance": f"{shared}/unmasking-appearance.parquet",
        "unmasking_motion": f"{shared}/unmasking-motion.parquet",
        "unmasking": f"{shared}/unmasking-fused.parquet",
        "two_sample_appearance": f"{own}/two_sample_test-appearance.parquet",
        "two_sample_motion": f"{own}/two_sample_test-motion.parquet",
        "two_sample_test": f"{own}/two_sample_test-fused.parquet",
    }


def test_a_rendered_scene_has_video_of_its_own(run):
    plaza = run().study.scenes["plaza"]
    assert rendered(plaza, "clip01")["pixels"] == "results/plaza/video/clip01_gt"
    assert cuts(plaza) == {}
    for store, kind in (("raw", "npy"), ("jpeg", "arrow")):
        files = stored_frames(plaza, "64", FrameSettings(store, 80))
        assert files["clip03"] == f"results/plaza/frames/64/clip03.{kind}"


def test_what_is_judged_follows_from_the_plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SDOR_DATA_ROOT", raising=False)
    for name, truth in {"yard": "normal", "gate": {"pixel_masks": "masks"}}.items():
        for folder in (name, "masks"):
            (tmp_path / "data" / folder).mkdir(parents=True, exist_ok=True)
        clips = [{"images": name, "ground_truth": truth}]
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"clips": clips}))
    config = {
        "scene_folder": ".",
        "scenes": ["yard", "gate"],
        "main": "paper",
        "variants": {
            "paper": {},
            "vgg16": {"backbone": "vgg16"},
            "head": {"trainable": "head"},
            "here": {"backbone": "i3d"},
            "other": {"epochs": 3},
        },
        "backbones": {"variants": ["vgg16", "paper", "head"]},
        "ablations": {"one": {"variants": ["here", "head"], "scenes": ["yard"]}},
        "pools": {"both": {"scenes": ["gate", "yard"]}},
        "feedback": {"scenes": ["gate"]},
    }
    study = with_scenes(read_study(config, "c.yaml", data_root_given=False))
    assert study.with_saliency("gate") == ["paper", "vgg16"]
    assert [variant for _, variant, _ in pooled(study)] == ["paper", "vgg16", "head", "other"]
    files = judged(study)
    assert files["localisation"] == [
        "results/gate/paper/seed0/localisation.json",
        "results/gate/vgg16/seed0/localisation.json",
    ]
    assert files["feedback"] == ["results/gate/paper/seed0/feedback.json"]
    assert files["pooled"][:2] == [
        f"results/pools/both/paper/seed0/{w}.json" for w in ("raw", "ranks")
    ]
    assert len(files["metrics"]) == 9
