import os
import shutil
import socket
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from synthetic_study import blind, change, write_feedback, write_localisation, write_study

from sdor.errors import SdorError
from sdor.evaluation.metrics import COLUMNS
from sdor.files import read_json, write_parquet
from sdor.method.scorer import Scorer, load_scorer, save_scorer
from sdor.networks.backbones import Backbone, pooled
from sdor.networks.fetch import resolve_weights
from sdor.reporting.findings import read_findings, write_findings
from sdor.study.plan import Plan
from sdor.tracking.model import load_ensemble
from sdor.tracking.record import RECORDED, Store, track_study
from sdor.tracking.runs import RunFiles, run_entries
from sdor.tracking.store import failed_imports, sqlite_file, without_secrets

LATER = ("feedback", "localisation")
FILES = {"metrics": "metrics.json", "draws": "draws.parquet"}


def write_files(folder, *, labelled=True, later=()):
    """A finished study of two seeds: two iterations of two epochs, that took 3 and 5 seconds."""
    files = write_study(folder, {"yard": (2, 3)}, {"ours": ({"iterations": 2}, 2.0)})
    for path in files["metrics"]:
        if not labelled:
            change(path, blind)
        rounds = ("feedback/round1", "feedback/round2") if "feedback" in later else ()
        for part in ("iteration1", "iteration2", *rounds):
            history = pd.DataFrame({"epoch": [1, 2], "loss": [0.5, 0.25], "seconds": [3.0, 5.0]})
            write_parquet(path.parent / part / "history.parquet", history, {})
    if "feedback" in later:
        files = write_feedback(files, folder, "yard", "ours")
    if "localisation" in later:
        files = write_localisation(files, folder, "ours")
    for number, path in enumerate(sorted(folder.rglob("*.parquet"))):
        os.utime(path, (1_700_000_000, 1_700_000_000 + number))
    write_findings(files, Plan("ours"), folder / "findings.parquet")
    return [
        RunFiles("yard", "ours", seed, [f"{folder}/yard/ours/seed{seed}/metrics.json"])
        for seed in (0, 1)
    ]


def entries_of(folder, **changes):
    run, _ = write_files(folder, **changes)
    return run_entries(run, read_findings(folder / "findings.parquet"), folder)


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
    (tmp_path / "table1.md").write_text("| a |\n|---|\n| 1 |\n")
    return write_files(Path("results"))


def store_in(folder=""):
    # MLflow keeps an open store for each name.
    return f"sqlite:///{Path(folder).resolve()}/mlflow.db"


def recorded(runs, uri=None):
    return track_study(
        runs,
        "results/findings.parquet",
        ["table1.md"],
        "receipt.json",
        uri=uri or store_in(),
        experiment="sdor",
        failures="failures.txt",
    )


def stored(uri=None):
    """Everything that a store shows of its runs: by key, without MLflow's own numbers."""
    found, store = {}, Store(uri or store_in(), "sdor")
    for run in store.client.search_runs([store.experiment_id]):
        tags = {key: run.data.tags[key] for key in run.data.tags if key != "mlflow.parentRunId"}
        span = (run.info.start_time, run.info.end_time, run.info.status)
        files = {file.path for file in store.client.list_artifacts(run.info.run_id)}
        assert tags["sdor.key"] not in found
        found[tags["sdor.key"]] = (span, run.data.params, run.data.metrics, tags, files)
    return found


def points(entry):
    return {(name, step): value for name, value, step in entry.metrics}


def test_runs_show_findings_and_losses(tmp_path):
    whole, first, second, *rounds = entries_of(tmp_path, later=LATER)
    rows = read_json(tmp_path / "yard/ours/seed0/metrics.json")["rows"]
    assert points(whole)["ours/merged", 0] == rows["ours"]["merged"]["value"]
    assert points(whole)["initial/within_clip", 0] == rows["initial"]["within_clip"]["value"]
    assert points(whole)["iteration/merged", 2] == rows["iteration_2"]["merged"]["value"]
    mean = rows["ensemble_1"]["average_precision"]["value"]
    assert points(whole)["ensemble/average_precision", 1] == mean
    assert points(whole)["iteration/anomalous_precision", 2] == 0.7
    assert points(whole)["feedback/unmarked/merged", 2] == 0.7 + 0.05 * 2 - 0.03
    assert points(whole)["ours/all_clips/pixel_auc", 0] == 0.6
    assert points(whole)["ours/test_only/pixel_auc", 0] == 0.5
    assert points(first)["loss", 1] == 0.5
    assert points(first)["loss", 2] == 0.25
    assert points(first)["iteration/test_only", 1] == rows["iteration_1"]["test_only"]["value"]
    assert (second.end - second.start) / 1000 == 8
    assert (whole.start, whole.end) == (first.start, second.end)
    assert [one.place.removeprefix("yard/ours/seed0/") for one in rounds] == [
        *("feedback/round1", "feedback/round2")
    ]
    assert points(rounds[1])["feedback/gain/merged", 2] == 0.03
    assert points(rounds[1])["feedback/marked", 2] == 20
    assert {one.parent for one in (first, second, *rounds)} == {whole.place}
    assert whole.params["masks"] == "true"
    assert whole.tags["fingerprint.training"] == "abc123"


def test_without_ground_truth_there_is_no_made_up_metric(tmp_path):
    whole, first, _ = entries_of(tmp_path, labelled=False)
    for name, _ in (*points(whole), *points(first)):
        assert not name.endswith((*COLUMNS, "_precision"))


def test_another_result_is_another_run_and_the_same_result_the_same(tmp_path):
    before = [entry.key for entry in entries_of(tmp_path)]
    assert len(set(before)) == 3
    # What is measured later joins the run.
    assert [entry.key for entry in entries_of(tmp_path, later=LATER)[:3]] == before
    for part, key in (("fingerprints", "training"), ("weights", "sha256")):
        run, _ = write_files(tmp_path)
        files = {
            kind: [tmp_path / f"yard/ours/seed{s}" / name for s in (0, 1)]
            for kind, name in FILES.items()
        }
        change(
            files["metrics"][0],
            lambda content, part=part, key=key: content["about"][part].update({key: "other"}),
        )
        write_findings(files, Plan("ours"), tmp_path / "findings.parquet")
        changed = run_entries(run, read_findings(tmp_path / "findings.parquet"), tmp_path)
        assert not set(before) & {entry.key for entry in changed}


def test_a_missing_file_is_named(results):
    results[0].artefacts.append("results/gone.png")
    assert "results/gone.png" in recorded(results).reason
    Path("results/yard/ours/seed0/iteration2/history.parquet").unlink()
    with pytest.raises(SdorError, match=r"iteration2/history.parquet: damaged or missing"):
        recorded(results)


def test_a_second_import_adds_nothing_and_a_rebuilt_store_shows_the_same(results, tmp_path):
    first = recorded(results)
    assert (first.complete, first.new, len(first.runs)) == (True, 7, 7)
    assert failed_imports(Path("failures.txt")) == 0
    before = stored()
    assert len(before) == 7
    assert recorded(results).new == 0
    assert stored() == before
    left_over = tmp_path / "rebuilt" / "mlartifacts" / "sdor" / "run"
    left_over.mkdir(parents=True)
    again = recorded(results, store_in("rebuilt"))
    assert (again.complete, again.new) == (True, 7)
    assert stored(store_in("rebuilt")) == before
    # Artefacts of whatever store is nobody else's business.
    assert left_over.exists()


@pytest.mark.parametrize("step", ["log_batch", "log_artifact", "set_tag"])
def test_an_import_that_was_cut_off_is_completed(results, monkeypatch, step):
    from mlflow import MlflowClient

    whole, calls = getattr(MlflowClient, step), []

    def cut_off(*arguments, **named):
        calls.append(step)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, step, cut_off)
        with pytest.raises(KeyboardInterrupt):
            recorded(results)
    assert recorded(results).complete
    recorded(results, store_in("rebuilt"))
    assert stored() == stored(store_in("rebuilt"))


def test_what_is_measured_later_joins_the_run(results):
    known = recorded(results).runs
    write_files(Path("results"), later=["localisation"])
    receipt = recorded(results)
    assert (receipt.new, receipt.runs) == (0, known)
    run = Store(store_in(), "sdor").client.get_run(known["yard/ours/seed0"])
    assert run.data.metrics["ours/all_clips/pixel_auc"] == 0.6
    assert RECORDED in run.data.tags


def test_a_moved_store_keeps_its_artefacts_beside_it(results, tmp_path, monkeypatch):
    recorded(results)
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("results", "mlflow.db", "mlartifacts", "table1.md"):
        (tmp_path / name).rename(moved / name)
    monkeypatch.chdir(moved)
    receipt = recorded(results)
    assert (receipt.complete, receipt.new) == (True, 7)
    run = Store(store_in(), "sdor").client.get_run(receipt.runs["study"])
    assert run.info.artifact_uri.startswith(moved.as_uri())
    assert not (tmp_path / "mlartifacts").exists()


@pytest.mark.parametrize("uri", ["server", "unwritable", "damaged"])
def test_a_store_out_of_reach_leaves_a_receipt_that_says_so(results, tmp_path, uri):
    if uri == "server":
        with socket.create_server(("127.0.0.1", 0)) as free:
            uri = f"http://name:secret@127.0.0.1:{free.getsockname()[1]}"
    elif uri == "unwritable":
        uri = store_in(tmp_path / "table1.md")
    else:
        (tmp_path / "mlflow.db").write_bytes(b"no database " * 1000)
        uri = store_in()
    receipt = recorded(results, uri)
    assert not receipt.complete
    assert receipt.reason
    assert "\n" not in receipt.reason
    assert "secret" not in (tmp_path / "receipt.json").read_text()
    # So the next run has other parameters, and tries again.
    failures = tmp_path / "failures.txt"
    assert failed_imports(failures) == 1
    assert "secret" not in failures.read_text()
    recorded(results, uri)
    assert failed_imports(failures) == 2


def test_a_store_that_there_is_no_way_to_leaves_a_receipt_too(results, tmp_path, monkeypatch):
    drivers = {"postgresql://me:secret@host/runs": "psycopg2", "mysql://host/runs": "MySQLdb"}
    others = [
        "s3x://bucket",
        "databricks",
        "mlruns",
        "file:///tmp/mlruns",
        "x://",
        "sqlite+no:///a",
    ]
    others += ["no+no://me:secret@host/a", "http://me:secret@[host", "postgresql://me:secret@[host"]
    for number, uri in enumerate([*drivers, *others], start=1):
        with monkeypatch.context() as patched:
            if driver := drivers.get(uri):  # as if it were not installed
                patched.setitem(sys.modules, driver, None)
            receipt = recorded(results, uri)
        assert not receipt.complete
        assert receipt.reason
        assert "is not installed" in receipt.reason or not driver
        assert driver is None or driver in receipt.reason
        assert failed_imports(tmp_path / "failures.txt") == number
    assert "secret" not in (tmp_path / "failures.txt").read_text()


def test_uris():
    assert without_secrets("https://me:pass@host:8/x") == "https://host:8/x"
    assert without_secrets("GET http://me:p@ss@host/x failed") == "GET http://host/x failed"
    assert without_secrets("sqlite:///mlflow.db") == "sqlite:///mlflow.db"
    assert str(sqlite_file("sqlite:////data/a.db?timeout=3")) == "/data/a.db"
    assert sqlite_file("http://host/sqlite:///a.db") is None
    assert sqlite_file("sqlite://") is None


@pytest.mark.parametrize("trainable", ["all", "layer4", "head"])
def test_an_ensemble_is_the_mean_of_its_members_and_shares_what_did_not_train(tmp_path, trainable):
    weights = str(tmp_path / "resnet18.safetensors")
    resolve_weights("resnet18", "random", Path(weights))
    paths = [str(tmp_path / f"{t}.safetensors") for t in (1, 2)]
    for t, path in enumerate(paths):
        save_scorer(Scorer(Backbone("resnet18"), trainable=trainable, seed=t), Path(path), {})
    frames = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 1), dtype=np.uint8)
    np.save(tmp_path / "clip.npy", frames)
    stored = {"clip": str(tmp_path / "clip.npy")}
    ensemble, shown = load_ensemble(
        RunFiles("yard", "ours", 0, [], paths, weights, stored, trainable)
    )
    np.testing.assert_array_equal(shown, frames[:4])
    members = [load_scorer(Path(path), Path(weights), trainable=trainable) for path in paths]
    with torch.no_grad():
        batch = torch.from_numpy(frames)
        maps = [member.backbone.maps(batch) for member in members]
        alone = [one.score_features(pooled(q)) for one, q in zip(members, maps, strict=True)]
    assert torch.equal(ensemble(batch), torch.stack(alone).mean(0))
    distinct = {tensor.data_ptr() for tensor in ensemble.parameters()}
    whole = [*Backbone("resnet18", classifier=False).parameters(), *members[0].head.parameters()]
    trained = [tensor for part in members[0].trained_modules() for tensor in part.parameters()]
    assert len(distinct) == len(whole) + len(trained)
