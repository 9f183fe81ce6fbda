"""MLflow as a view of a finished run: what it shows, made again, out of reach, on a server."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pandas as pd
import pytest

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
from mlflow import MlflowClient
from mlflow.artifacts import load_dict

# In a process that knows nothing of this project: frames of the example in, scores out.
SCORE = """
import json, sys
import mlflow.pyfunc
store, model = sys.argv[1:]
mlflow.set_tracking_uri(store)
loaded = mlflow.pyfunc.load_model(model)
print(json.dumps(loaded.predict(loaded.input_example).tolist()))
assert not [name for name in sys.modules if name.split(".")[0] == "sdor"]
"""


def client_of(workplace, uri=None):
    return MlflowClient(uri or f"sqlite:///{workplace.folder}/mlflow.db")


def shown(client):
    """Everything that is shown of the runs, by name and without MLflow's own numbers."""
    experiment = client.get_experiment_by_name("yard")
    runs = client.search_runs([experiment.experiment_id])
    names = {run.info.run_id: run.info.run_name for run in runs}
    found = {}
    for run in runs:
        tags = dict(run.data.tags)
        parent = names.get(tags.pop("mlflow.parentRunId", None))
        query = f"source_run_id = '{run.info.run_id}'"
        model = len(client.search_logged_models([experiment.experiment_id], query))
        span = (run.info.start_time, run.info.end_time, run.info.status)
        assert run.info.run_name not in found
        found[run.info.run_name] = (parent, model, span, tags, run.data.params, run.data.metrics)
    return found


def receipt_of(workplace):
    return json.loads((workplace.folder / "results" / "mlflow.json").read_text())


@pytest.fixture(scope="module")
def store(finished):
    return client_of(finished)


def test_runs_show_what_the_files_say(finished, store):
    receipt = receipt_of(finished)
    assert receipt["complete"]
    files = sorted((finished.folder / "results" / "yard").glob("*/seed*/metrics.json"))
    assert len(files) == 5
    for path in files:
        measured = json.loads(path.read_text())
        place = str(path.parent.relative_to(finished.folder / "results"))
        run = store.get_run(receipt["runs"][place])
        assert (run.info.run_name, run.info.status) == (place, "FINISHED")
        assert run.data.metrics["ours/merged"] == measured["rows"]["ours"]["merged"]["value"]
        initial = measured["rows"]["initial"]["average_precision"]["value"]
        assert run.data.metrics["initial/average_precision"] == initial
        method = measured["about"]["method"]
        assert run.data.params.get("loss") == method.get("loss")
        assert set(method) <= set(run.data.params)
        assert run.data.tags["fingerprint.video"] == measured["about"]["fingerprints"]["video"]
        assert load_dict(f"{run.info.artifact_uri}/metrics.json") == measured
        curve = store.get_metric_history(run.info.run_id, "iteration/merged")
        assert {point.step: point.value for point in curve} == {
            t: measured["rows"][f"iteration_{t}"]["merged"]["value"]
            for t in range(1, method["iterations"] + 1)
        }
        for t in range(1, method["iterations"] + 1):
            child = store.get_run(receipt["runs"][f"{place}/iteration{t}"])
            assert child.data.tags["mlflow.parentRunId"] == run.info.run_id
            history = pd.read_parquet(path.parent / f"iteration{t}" / "history.parquet")
            losses = store.get_metric_history(child.info.run_id, "loss")
            assert [point.value for point in losses] == history["loss"].tolist()
            labels = measured["pseudo_labels"][t - 1]
            precision = child.data.metrics.get("iteration/anomalous_precision")
            assert precision == labels["anomalous_precision"]


def test_the_main_variant_has_its_figures_and_its_rounds_of_feedback(finished, store):
    runs = receipt_of(finished)["runs"]
    run = runs["yard/tiny/seed0"]
    assert {file.path for file in store.list_artifacts(run)} == {
        *("metrics.json", "feedback.json", "figures")
    }
    rounds = json.loads((finished.folder / "results/yard/tiny/seed0/feedback.json").read_text())
    points = store.get_metric_history(run, "feedback/all/merged")
    assert [point.value for point in points] == [
        one["all"]["merged"]["value"] for one in rounds["rounds"]
    ]
    assert {f"yard/tiny/seed0/feedback/round{r}" for r in (1, 2)} <= set(runs)
    tables = [file.path for file in store.list_artifacts(runs["study"], "tables")]
    assert "tables/table1.md" in tables


def test_the_ensemble_scores_in_a_process_without_this_project(finished, store, tmp_path):
    ((place, model),) = receipt_of(finished)["models"].items()
    assert place == "yard/tiny/seed0"
    environment = {key: os.environ[key] for key in os.environ if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", SCORE, store.tracking_uri, f"models:/{model}"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    scores = pd.read_parquet(finished.folder / "results/yard/tiny/seed0/ensemble.parquet")
    # The examples are the first frames of the first clip. Other batches and threads sum in another
    # order: a few units in float32's last place.
    np.testing.assert_allclose(json.loads(done.stdout), scores["score"].head(4), atol=1e-5)
    found = store.get_logged_model(model)
    assert found.status == "READY"
    assert found.experiment_id == store.get_experiment_by_name("yard").experiment_id
    assert not (finished.folder / "mlruns").exists()
    assert {metric.key for metric in found.metrics} > {"ours/merged"}


@pytest.mark.nightly
def test_the_store_is_a_view_that_is_made_again_elsewhere_or_later(copy, tmp_path, monkeypatch):
    work = copy()
    before = shown(client_of(work))
    assert work.planned() == set()
    (work.folder / "mlflow.db").rename(work.folder / "lost.db")
    assert work.planned() == {"track"}
    assert work.planned() == {"track"}  # a look changes nothing
    done = work.run()
    assert done.returncode == 0, done.stdout
    (work.folder / "mlflow.db").rename(work.folder / "again.db")
    assert shown(client_of(work, f"sqlite:///{work.folder}/again.db")) == before
    (work.folder / "again.db").rename(work.folder / "mlflow.db")
    assert work.planned() == set()

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.replace("//", "//me:secret@"))
    done = work.run()
    assert done.returncode == 0, done.stdout
    assert "secret" not in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if "MLflow" in line]
    assert f"sdor: MLflow at {uri} has not all runs: no answer" in line
    assert not receipt_of(work)["complete"]
    assert work.planned() == {"track"}
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(f"{uri}/health")
        done = work.run()
        assert done.returncode == 0, done.stdout
        assert "secret" not in done.stdout
        receipt = receipt_of(work)
        assert (receipt["complete"], receipt["store"]) == (True, uri)
        assert shown(client_of(work, uri)) == before
    finally:
        os.killpg(server.pid, 15)
        server.wait()
    # Neither there nor here; environments of jobs are not written down.
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"me:secret" not in path.read_bytes(), path
    # Servers are not asked before there is something to record.
    assert work.planned() == set()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert work.planned() == {"track"}


def wait_for(address):
    for _ in range(120):
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise TimeoutError(address)
