import json
import os
import shutil
import socket
import sqlite3
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from synthetic_study import frames_of, write_run

from sdor.errors import SdorError
from sdor.evaluation.about import About
from sdor.evaluation.metrics import COLUMNS
from sdor.files import read_json, write_json, write_parquet
from sdor.method.scorer import Scorer, save_scorer
from sdor.method.scores import mean_scores
from sdor.networks.backbones import Backbone
from sdor.networks.fetch import resolve_weights
from sdor.networks.provenance import Provenance
from sdor.study.config import with_defaults
from sdor.tracking.model import Ensemble, load_ensemble
from sdor.tracking.receipt import receipt_is_stale
from sdor.tracking.record import RECORDED, Store, track_study
from sdor.tracking.runs import run_entries, study_entry
from sdor.tracking.store import shown_uri, sqlite_file

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
SECONDS = (3.0, 5.0)


def about(seed=0, **method):
    return {
        "scene": "yard",
        "variant": "ours",
        "seed": seed,
        "description": "a yard",
        "overrides": {},
        "method": with_defaults({"batch_size": 8, "iterations": 2, **method}, "method"),
        "weights": asdict(Provenance("resnet18", "random", "")),
        "device": "cpu, fp32",
        "versions": {"torch": "2.13.0"},
        "fingerprints": {"video": "abc", "labels": "def", "method's code": "ghi"},
    }


def write_files(folder, seed=0, labelled=True):
    """A finished run of two iterations of two epochs; 10 and 20 pseudo labels in each."""
    place = folder / "yard" / "ours" / f"seed{seed}"
    frames = frames_of(2, 3)
    rows = {"sp_iforest": 0.5, "ours": 2.0, "iteration_1": 1.0, "iteration_2": 1.5}
    rows |= {"ensemble_1": 1.0, "ensemble_2": 2.0}
    write_run(place, About.read(about(seed)), frames, rows)
    measured = read_json(place / "metrics.json")
    measured["pseudo_labels"] = [
        {
            "iteration": t,
            "anomalous": 10,
            "anomalous_precision": 0.5 + t / 10 if labelled else None,
            "normal": 20,
            "normal_precision": 0.9 if labelled else None,
        }
        for t in (1, 2)
    ]
    if not labelled:
        nothing = {"value": None, "low": None, "high": None, "reason": "no ground truth"}
        measured["rows"] = {row: dict.fromkeys(COLUMNS, nothing) for row in measured["rows"]}
        measured["differences"] = {"ours - sp_iforest": dict.fromkeys(COLUMNS, nothing)}
    write_json(place / "metrics.json", measured)
    table = pd.DataFrame({"clip": "a", "frame": [1, 2], "score": np.float32([0, 1])})
    for t in (1, 2):
        history = pd.DataFrame({"epoch": [1, 2], "loss": [0.5, 0.25], "seconds": SECONDS})
        write_parquet(place / f"iteration{t}" / "history.parquet", history, {})
        write_parquet(place / f"iteration{t}" / "scores.parquet", table, {})
    mean = mean_scores([place / f"iteration{t}" / "scores.parquet" for t in (1, 2)])
    write_parquet(place / "ensemble.parquet", mean, {})
    for path in place.rglob("*.*"):
        os.utime(path, (1_700_000_000, 1_700_000_000 + seed))
    run = {"scene": "yard", "variant": "ours", "seed": seed, "figures": []}
    return run | dict.fromkeys(("localisation", "feedback", "model"))


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """A store without runs: making its tables takes MLflow seconds."""
    folder = tmp_path_factory.mktemp("store")
    Store(store_in(folder), "another")
    return folder / "mlflow.db"


@pytest.fixture
def results(tmp_path, monkeypatch, empty_store):
    """The working directory of a study with two seeds, and its runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rebuilt").mkdir()
    for folder in (tmp_path, tmp_path / "rebuilt"):
        shutil.copy(empty_store, folder)
    runs = [write_files(tmp_path / "results", seed) for seed in (0, 1)]
    (tmp_path / "table1.md").write_text("| a |\n|---|\n| 1 |\n")
    return runs


def store_in(folder=""):
    # MLflow keeps an open store for each name.
    return f"sqlite:///{Path(folder).resolve()}/mlflow.db"


def recorded(runs, uri=None, **changes):
    given = {"experiment": "sdor", "tables": ["table1.md"], "figures": [], **changes}
    return track_study(runs, "receipt.json", uri=uri or store_in(), **given)


def stored(uri=None):
    """Everything that a store shows of its runs: by key, without MLflow's own numbers."""
    found, store = {}, Store(uri or store_in(), "sdor")
    for run in store.client.search_runs([store.experiment_id]):
        tags = {key: run.data.tags[key] for key in run.data.tags if key != "mlflow.parentRunId"}
        span = (run.info.start_time, run.info.end_time, run.info.status)
        key = tags["sdor.key"]
        assert key not in found
        found[key] = (run.info.run_name, span, run.data.params, run.data.metrics, tags)
    return found


def points(entry, part="metrics"):
    return {(point.name, point.step): point.value for point in entry.parts[part].metrics}


def test_throughput_is_frames_drawn_over_seconds(tmp_path):
    # 30 pseudo labels in batches of 8 are 4 steps; 2 epochs draw 64 frames in 3 + 5 seconds.
    whole, first, second = run_entries(write_files(tmp_path), tmp_path)
    assert points(first)["frames_per_second", 0] == 8
    assert points(first)["seconds_of_training", 0] == 8
    assert points(whole)["frames_per_second", 0] == 8
    assert points(whole)["minutes_of_training", 0] == pytest.approx(16 / 60, abs=1e-3)
    assert (second.end - second.start) / 1000 == 8
    assert whole.end == second.end == 1_700_000_000_000


def test_an_iteration_has_its_loss_by_epoch_and_its_own_auc(tmp_path):
    whole, first, _ = run_entries(write_files(tmp_path), tmp_path)
    rows = read_json(tmp_path / "yard/ours/seed0/metrics.json")["rows"]
    assert points(first)["by_epoch/loss", 1] == 0.5
    assert points(first)["by_epoch/loss", 2] == 0.25
    assert points(first)["auc_test_only", 0] == rows["iteration_1"]["test_only"]["value"]
    assert points(whole)["by_iteration/auc_merged", 2] == rows["iteration_2"]["merged"]["value"]
    assert points(whole)["by_iteration/pseudo_anomalous_precision", 2] == 0.7
    assert points(whole)["interval/auc_merged_low", 0] == rows["ours"]["merged"]["low"]


def test_without_ground_truth_there_is_no_made_up_figure(tmp_path):
    whole, first, _ = run_entries(write_files(tmp_path, labelled=False), tmp_path)
    assert {name for name, _ in points(whole)} == {"minutes_of_training", "frames_per_second"}
    assert not [name for name, _ in points(first) if "auc" in name or "precision" in name]
    assert "no ground truth" in whole.note


def test_another_result_is_another_run_and_the_same_result_the_same(tmp_path):
    run = write_files(tmp_path)
    before = [entry.key for entry in run_entries(run, tmp_path)]
    assert len(set(before)) == 3
    assert [entry.key for entry in run_entries(write_files(tmp_path), tmp_path)] == before
    path = tmp_path / "yard/ours/seed0/metrics.json"
    measured = read_json(path)
    measured["about"]["fingerprints"]["method's code"] = "other"
    write_json(path, measured)
    assert not set(before) & {entry.key for entry in run_entries(run, tmp_path)}


def test_a_missing_file_is_named(tmp_path):
    run = write_files(tmp_path)
    (tmp_path / "yard/ours/seed0/iteration2/history.parquet").unlink()
    with pytest.raises(SdorError, match=r"iteration2/history.parquet: damaged or missing"):
        run_entries(run, tmp_path)


def test_long_tables_leave_the_words_short_enough_for_a_store(results, tmp_path):
    (tmp_path / "table1.md").write_text("| a |\n" * 5000)
    entries = [entry for run in results for entry in run_entries(run)]
    assert len(study_entry(entries, ["table1.md"], []).note) < 8000


def test_a_second_import_adds_nothing_and_a_rebuilt_store_shows_the_same(results, tmp_path):
    first = recorded(results)
    assert (first["complete"], first["new"], len(first["runs"])) == (True, 7, 7)
    before = stored()
    assert len(before) == 7
    assert recorded(results)["new"] == 0
    assert stored() == before
    left_over = tmp_path / "rebuilt" / "mlartifacts" / "sdor" / "run"
    left_over.mkdir(parents=True)
    again = recorded(results, store_in("rebuilt"))
    assert (again["complete"], again["new"]) == (True, 7)
    assert stored(store_in("rebuilt")) == before
    # Artefacts of whatever store is nobody else's business.
    assert left_over.exists()


@pytest.mark.parametrize("step", ["_describe", "_record_part", "_log_metrics"])
def test_an_import_that_was_cut_off_is_completed(results, tmp_path, monkeypatch, step):
    whole = getattr(Store, step)
    calls = []

    def cut_off(*arguments):
        calls.append(step)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(Store, step, cut_off)
    with pytest.raises(KeyboardInterrupt):
        recorded(results)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert recorded(results)["complete"]
    recorded(results, store_in("rebuilt"))
    assert stored() == stored(store_in("rebuilt"))


def test_what_is_measured_later_joins_the_run(results, tmp_path):
    known = recorded(results)["runs"]
    cell = {"value": 0.75, "low": 0.5, "high": 0.9, "skipped": 0}
    path = tmp_path / "results/yard/ours/seed0/localisation.json"
    write_json(path, {"all_clips": {"pixel_auc": cell}})
    results[0]["localisation"] = str(path)
    receipt = recorded(results)
    assert (receipt["new"], receipt["runs"]) == (0, known)
    run = Store(store_in(), "sdor").client.get_run(known["yard/ours/seed0"])
    assert run.data.metrics["localisation/pixel_auc"] == 0.75
    assert json.loads(run.data.tags[RECORDED]).keys() == {"metrics", "artefacts", "localisation"}


def test_a_run_deleted_in_mlflow_stays_deleted(results):
    known = recorded(results)["runs"]
    store = Store(store_in(), "sdor")
    store.client.delete_run(known["yard/ours/seed1"])
    assert recorded(results)["new"] == 0
    assert len(store.client.search_runs([store.experiment_id])) == 6


def test_a_moved_store_keeps_its_artefacts_beside_it(results, tmp_path, monkeypatch):
    recorded(results)
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("results", "mlflow.db", "mlartifacts", "table1.md"):
        (tmp_path / name).rename(moved / name)
    monkeypatch.chdir(moved)
    receipt = recorded(results)
    assert (receipt["complete"], receipt["new"]) == (True, 7)
    run = Store(store_in(), "sdor").client.get_run(receipt["runs"]["study"])
    assert run.info.artifact_uri.startswith(moved.as_uri())
    assert not (tmp_path / "mlartifacts").exists()


@pytest.mark.parametrize("uri", ["server", "unwritable", "damaged"])
def test_a_store_that_is_away_leaves_a_receipt_that_says_so(results, tmp_path, uri):
    if uri == "server":
        with socket.create_server(("127.0.0.1", 0)) as free:
            uri = f"http://name:secret@127.0.0.1:{free.getsockname()[1]}"
    elif uri == "unwritable":
        uri = store_in(tmp_path / "table1.md")
    else:
        (tmp_path / "mlflow.db").write_bytes(b"no database " * 1000)
        uri = store_in()
    receipt = recorded(results, uri)
    assert not receipt["complete"]
    assert receipt["reason"]
    assert "\n" not in receipt["reason"]
    assert "secret" not in (tmp_path / "receipt.json").read_text()
    assert receipt_is_stale(tmp_path / "receipt.json", uri)


def test_a_receipt_goes_stale_with_its_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, uri = tmp_path / "receipt.json", "sqlite:///mlflow.db"
    assert not receipt_is_stale(path, uri)  # it is made anyway
    with sqlite3.connect("mlflow.db") as database:
        database.execute("CREATE TABLE runs (run_uuid TEXT)")
        database.execute("INSERT INTO runs VALUES ('one'), ('another')")
    database.close()
    receipt = {"complete": True, "store": uri, "runs": {"yard/ours/seed0": "one"}}
    write_json(path, receipt)
    assert not receipt_is_stale(path, uri)
    assert receipt_is_stale(path, "http://127.0.0.1:5000")
    write_json(path, {**receipt, "complete": False})
    assert receipt_is_stale(path, uri)
    write_json(path, {**receipt, "runs": {"yard/ours/seed0": "lost"}})
    assert receipt_is_stale(path, uri)
    write_json(path, receipt)
    (tmp_path / "mlflow.db").unlink()
    assert receipt_is_stale(path, uri)
    path.write_text("{")
    assert receipt_is_stale(path, uri)


def test_uris():
    assert shown_uri("https://me:pass@host:8/x") == "https://host:8/x"
    assert shown_uri("sqlite:///mlflow.db") == "sqlite:///mlflow.db"
    assert str(sqlite_file("sqlite:////data/a.db?timeout=3")) == "/data/a.db"
    assert sqlite_file("http://host/sqlite:///a.db") is None
    assert sqlite_file("sqlite://") is None


@pytest.mark.parametrize("trainable", ["all", "layer4", "head"])
def test_an_ensemble_is_the_mean_of_its_members_and_shares_what_did_not_train(tmp_path, trainable):
    weights = tmp_path / "resnet18.safetensors"
    resolve_weights("resnet18", "random", weights)
    members = []
    for t in (1, 2):
        scorer = Scorer(Backbone("resnet18"), trainable=trainable, seed=t)
        save_scorer(scorer, tmp_path / f"{t}.safetensors", {})
    paths = [tmp_path / f"{t}.safetensors" for t in (1, 2)]
    method = {"trainable": trainable, "hidden_units": 100}
    ensemble = load_ensemble(paths, weights, method=method)
    frames = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (3, 64, 64, 1), dtype=np.uint8)
    )
    members = [load_ensemble([path], weights, method=method) for path in paths]
    wanted = torch.stack([member(frames) for member in members]).mean(0)
    assert torch.equal(ensemble(frames), wanted)
    distinct = {tensor.data_ptr() for tensor in ensemble.parameters()}
    single = len(list(members[0].parameters()))
    trained = sum(parameter.requires_grad for parameter in scorer.parameters())
    assert len(distinct) == single + trained
    assert isinstance(ensemble, Ensemble)
