import json

import numpy as np
import pandas as pd
import pytest
import yaml
from workplace import LENGTHS


def test_everything_that_was_promised_is_there(finished):
    results = finished.folder / "results"
    run = results / "yard" / "tiny" / "seed0"
    for path in (
        results / "report.html",
        results / "tables" / "auc.csv",
        results / "tables" / "auc.md",
        results / "tables" / "auc.tex",
        results / "yard" / "clips.parquet",
        run / "initial.parquet",
        run / "iteration1" / "pseudo_labels.parquet",
        run / "iteration2" / "model.safetensors",
        run / "ensemble.parquet",
        *[
            results / "figures" / "yard" / f"tiny-{kind}.{suffix}"
            for kind in ("roc", "timeline", "iterations", "loss")
            for suffix in ("svg", "png")
        ],
    ):
        assert path.stat().st_size > 0, path
    assert not [path for path in results.rglob(".*") if path.is_file()]


def test_snakemake_makes_its_own_report(finished, tmp_path):
    done = finished.run("--report", str(tmp_path / "report.html"))
    assert done.returncode == 0, done.stdout
    assert "tiny/seed0" in (tmp_path / "report.html").read_text()


def test_the_answer_is_the_mean_of_the_iterations(finished):
    run = finished.folder / "results" / "yard" / "tiny" / "seed0"
    scores = [pd.read_parquet(run / f"iteration{t}" / "scores.parquet") for t in (1, 2)]
    answer = pd.read_parquet(run / "ensemble.parquet")
    assert answer["clip"].value_counts(sort=False).to_dict() == LENGTHS
    assert answer["frame"].tolist() == [n + 1 for length in LENGTHS.values() for n in range(length)]
    mean = (scores[0]["score"].astype(float) + scores[1]["score"]) / 2
    np.testing.assert_allclose(answer["score"], mean)


def test_metrics_say_what_they_came_from(finished):
    run = finished.folder / "results" / "yard" / "tiny" / "seed0"
    metrics = json.loads((run / "metrics.json").read_text())
    about = metrics["about"]
    assert about["weights"]["source"] == "random"
    assert about["method"]["epochs"] == 2
    assert about["device"] == "cpu, fp32"
    assert set(about["fingerprints"]) == {
        *("method's code", "evaluation's code", "video", "labels")
    }
    assert metrics["counts"]["anomalous_frames"] == 6
    # Six bright frames of two hundred are found by anything that looks at the picture.
    assert metrics["rows"]["initial"]["merged"]["value"] > 0.9


@pytest.mark.nightly
def test_two_runs_give_the_same_bytes(finished, undisturbed):
    ours, theirs = undisturbed.content(), finished.content()
    assert len(ours) == 11
    assert [name for name in ours if ours[name] != theirs[name]] == []


@pytest.mark.nightly
def test_no_label_reaches_a_score(finished, fresh):
    """Without any ground truth and any split, every score has the same bytes."""
    path = fresh.folder / "scenes" / "yard.yaml"
    scene = yaml.safe_load(path.read_text())
    for clip in scene["clips"]:
        del clip["ground_truth"], clip["split"]
    path.write_text(yaml.safe_dump(scene))
    config = yaml.safe_load((fresh.folder / "config.yaml").read_text())
    # A simulated expert and scenes with fewer anomalies are made from labels.
    del config["anomaly_rates"], config["variants"]["rare"], config["feedback"]
    (fresh.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    with_labels = finished.content()
    ours = {name for name in with_labels if "/rare/" not in name and "/feedback/" not in name}
    done = fresh.run("--", *[f"results/{name}" for name in sorted(ours)])
    assert done.returncode == 0, done.stdout
    without = fresh.content()
    assert ours == without.keys()
    assert len([name for name in ours if "competitors" in name]) == 10
    assert len([name for name in ours if name.endswith("saliency.npy")]) == 2
    assert [name for name in sorted(ours) if with_labels[name] != without[name]] == []


def test_other_labels_rerun_no_training(copy):
    workplace = copy()
    scene = yaml.safe_load((workplace.folder / "scenes" / "yard.yaml").read_text())
    scene["clips"][1]["ground_truth"] = {"ranges": [[12, 16]]}
    (workplace.folder / "scenes" / "yard.yaml").write_text(yaml.safe_dump(scene))
    # The expert and the scene with fewer anomalies are made from labels; nothing else trains.
    config = yaml.safe_load((workplace.folder / "config.yaml").read_text())
    del config["feedback"], config["anomaly_rates"], config["variants"]["rare"]
    (workplace.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    judged = {"audit", "evaluate", "tables", "figures", "paper_figures", "report"}
    judged |= {"findings", "stage_times", "track"}
    assert workplace.planned() == judged


def test_a_moved_folder_and_moved_data_rerun_nothing(copy, tmp_path):
    workplace = copy()
    (workplace.folder / "data").rename(tmp_path / "elsewhere")
    assert workplace.planned("--config", f"data_root={tmp_path / 'elsewhere'}") == set()


def test_other_labels_do_not_hide_another_change(copy):
    workplace = copy()
    scene = yaml.safe_load((workplace.folder / "scenes" / "yard.yaml").read_text())
    scene["clips"][1]["ground_truth"] = {"ranges": [[12, 16]]}
    (workplace.folder / "scenes" / "yard.yaml").write_text(yaml.safe_dump(scene))
    config = yaml.safe_load((workplace.folder / "config.yaml").read_text())
    workplace.configure(method={**config["method"], "learning_rate": 0.01})
    assert {"audit", "train", "ensemble"} <= workplace.planned()


def test_a_mistyped_weights_path_costs_nothing(copy):
    workplace = copy()
    workplace.configure(weights={"resnet18": "nowhere.pth"})
    done = workplace.run()
    assert done.returncode != 0
    assert "sdor: weights.resnet18: nowhere.pth: no such file" in done.stdout
    assert (workplace.folder / "results" / "weights" / "resnet18.safetensors").is_file()


def test_scenes_of_absent_data_are_listed_as_not_run(copy):
    workplace = copy()
    workplace.configure(scenes=["yard", "ped1"], missing_data="skip")
    done = workplace.run("--", "results/tables/auc.md")
    assert done.returncode == 0, done.stdout
    table = (workplace.folder / "results" / "tables" / "auc.md").read_text()
    assert "not run" in table
    assert "data not found under data/UCSD" in table
