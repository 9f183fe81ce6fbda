"""Show the results in MLflow: files are the truth, its store is a view that can be made again.

One process writes, after all stages, what `runs` reads from the files. A run is found by a tag with
its key, or created; what is recorded already is left alone. So a second import adds nothing, and
one that was cut off is completed.
"""

import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import uuid4

# MLflow reads these when it is imported. Its HTTP client would try for minutes, and the addresses
# of runs that it prints have the server's password in them.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")

import mlflow
import mlflow.pytorch
import numpy as np
from mlflow.entities import Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from sqlalchemy.exc import SQLAlchemyError

from sdor.files import write_json
from sdor.progress import logger, track
from sdor.reporting.findings import read_findings
from sdor.study.fingerprint import versions_of
from sdor.tracking.model import ModelFiles, examples, load_ensemble
from sdor.tracking.runs import Entry, RunFiles, run_entries, study_entry
from sdor.tracking.store import sqlite_file, store_fault, without_secrets

KEY, RECORDED, MODEL = "sdor.key", "sdor.recorded", "sdor.model"
BATCH = 900  # metrics in one call; MLflow takes 1000
FOLDERS = {".png": "figures", ".md": "tables", ".csv": "tables"}
EXPERIMENT_NOTE = (
    "One run for each scene, variant and seed, below it one for each iteration and each round of "
    "feedback; `study` has the tables. All of it is a view of the files in `results/`."
)
MODEL_NOTE = (
    "The final ensemble of `{run}`: uint8 frames as in the input example → anomaly scores in "
    "float32; the higher, the more anomalous."
)


@dataclass
class Receipt:
    """What was recorded where.

    Attributes
    ----------
    store : its URI, without user name and password.
    complete : all is recorded. reason : why it is not.
    runs, models : place: MLflow's id. new : how many runs were added.
    """

    store: str
    experiment: str
    complete: bool = False
    reason: str = ""
    runs: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    new: int = 0

    @property
    def fault(self) -> str:
        """Why the import is not complete, in a line."""
        return f"MLflow at {self.store} has not all runs: {self.reason}"


def track_study(
    runs: Sequence[RunFiles],
    findings: str | Path,
    artefacts: Sequence[str],
    output: str | Path,
    *,
    uri: str,
    experiment: str,
    failures: str | Path,
) -> Receipt:
    """Record all runs of a study in MLflow, and write a receipt.

    Parameters
    ----------
    findings : `results/findings.parquet`.
    artefacts : tables and figures of the whole study.
    uri : of MLflow's store.
    failures : a file that gets a line where not all could be recorded.

    Raises
    ------
    SdorError : a file of the results is damaged or missing. A store that cannot be used raises
        nothing: the receipt is not complete then.
    """
    known = read_findings(findings)
    entries = [run_entries(run, known) for run in runs]
    study = study_entry([group[0] for group in entries], artefacts)
    receipt = Receipt(without_secrets(uri), experiment, reason=store_fault(uri))
    # MLflow's libraries print whatever reaches the root logger.
    logger.propagate = False
    try:
        if not receipt.reason:
            store = Store(uri, experiment)
            pairs = list(zip(runs, entries, strict=True))
            for run, group in track(pairs, unit="run", label="tracking"):
                for entry in group:
                    receipt.runs[entry.place] = store.record(entry)
                if run.model is not None:
                    receipt.models[group[0].place] = store.record_model(group[0], run.model)
            receipt.runs[study.place] = store.record(study)
            receipt.new, receipt.complete = store.added, True
    except (MlflowException, SQLAlchemyError, OSError) as error:
        lines = map(str.strip, str(error).splitlines())
        receipt.reason = without_secrets(next(filter(None, lines), type(error).__name__))[:300]
    if not receipt.complete:
        with Path(failures).open("a") as file:
            file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {receipt.fault}\n")
    write_json(output, asdict(receipt))
    return receipt


class Store:
    """An experiment in MLflow's store.

    Parameters
    ----------
    uri : of the store. Beside an SQLite file the artefacts lie in `mlartifacts/<experiment>`.

    Attributes
    ----------
    added : runs that were not there before.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        mlflow.set_tracking_uri(uri)
        self.client = mlflow.MlflowClient(uri, uri)
        self.added = 0
        self.experiment_id = self._experiment(uri, experiment)
        mlflow.set_experiment(experiment_id=self.experiment_id)  # where models are logged
        self._ids: dict[str, str] = {}
        found = mlflow.search_runs(
            [self.experiment_id],
            filter_string=f"tags.`{KEY}` LIKE '%'",
            run_view_type=ViewType.ALL,
            output_format="list",
        )
        self._known: dict[str, Run] = {run.data.tags[KEY]: run for run in found}

    def record(self, entry: Entry) -> str:
        """Find or create the run of an entry, and record what it does not have yet; its id.

        A run that was deleted in MLflow stays deleted.
        """
        run, content = self._known.get(entry.key), entry.content()
        tags = {
            "sdor.kind": entry.kind,
            "mlflow.note.content": entry.note,
            "mlflow.source.name": "sdor",
            **entry.tags,
        }
        if run is None:
            if entry.parent:
                tags["mlflow.parentRunId"] = self._ids[entry.parent]
            run = self.client.create_run(
                self.experiment_id, entry.start, {KEY: entry.key, **tags}, entry.place
            )
            self.added += 1
        run_id = self._ids[entry.place] = str(run.info.run_id)
        if run.data.tags.get(RECORDED) == content or run.info.lifecycle_stage != "active":
            return run_id
        params = [Param(*one) for one in entry.params.items() if one[0] not in run.data.params]
        self.client.log_batch(run_id, params=params, tags=[RunTag(*one) for one in tags.items()])
        metrics = [Metric(one.name, one.value, entry.end, one.step) for one in entry.metrics]
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(run_id, metrics=metrics[start : start + BATCH])
        for path in entry.artefacts:
            self.client.log_artifact(run_id, path, FOLDERS.get(Path(path).suffix))
        self.client.set_terminated(run_id, "FINISHED", entry.end)
        # The last word: without it, the run is completed by the next import.
        self.client.set_tag(run_id, RECORDED, content)
        return run_id

    def record_model(self, entry: Entry, files: ModelFiles) -> str:
        """Keep the ensemble of a run, recorded already, as a logged model, unless it is there.

        It is an exported graph with its weights, which loads without this package. Returns its id;
        empty where the run was deleted in MLflow.
        """
        run = self.client.get_run(self._ids[entry.place])
        if MODEL in run.data.tags or run.info.lifecycle_stage != "active":
            return run.data.tags.get(MODEL, "")
        cut_off = f"source_run_id = '{run.info.run_id}'"
        for model in self.client.search_logged_models([self.experiment_id], cut_off):
            self.client.delete_logged_model(model.model_id)
        ensemble = load_ensemble(files)
        frames = examples(files, window=ensemble.window)
        inputs = TensorSpec(np.dtype(np.uint8), (-1, *frames.shape[1:]))
        output = TensorSpec(np.dtype(np.float32), (-1,))
        versions = versions_of("mlflow", "numpy", "torch")
        with warnings.catch_warnings(action="ignore"):  # of the exporter, which ask for nothing
            logged = mlflow.pytorch.log_model(
                ensemble,
                name=entry.place.replace("/", "-"),
                run_id=run.info.run_id,
                signature=ModelSignature(Schema([inputs]), Schema([output])),
                input_example=frames,
                serialization_format="pt2",
                pip_requirements=[f"{name}=={version}" for name, version in versions.items()],
                model_type="anomaly score of frames",
                tags={"mlflow.note.content": MODEL_NOTE.format(run=entry.place)},
            )
        self.client.set_tag(run.info.run_id, MODEL, logged.model_id)
        return str(logged.model_id)

    def _experiment(self, uri: str, name: str) -> str:
        found, file = self.client.get_experiment_by_name(name), sqlite_file(uri)
        root = (file.resolve().parent / "mlartifacts").as_uri() if file else ""
        if found is not None:
            kept = str(found.artifact_location)
            if not root or "/mlartifacts/" not in kept or kept.startswith(f"{root}/"):
                return str(found.experiment_id)
            # The store was moved or copied here, and would go on writing at the old place. What it
            # has stays, under another name.
            self.client.rename_experiment(found.experiment_id, f"{name}-{found.experiment_id}")
        # Of its own: another store beside this one may have an experiment of the same name.
        location = f"{root}/{name}-{uuid4().hex[:8]}" if root else None
        tags = {"mlflow.note.content": EXPERIMENT_NOTE}
        tags["mlflow.experimentKind"] = "custom_model_development"
        return str(self.client.create_experiment(name, location, tags))
