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
from itertools import chain
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
from mlflow.entities import LoggedModelStatus, Metric, Param, Run
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from sdor.files import digest_of, file_sha256, write_json
from sdor.progress import logger, track
from sdor.reporting.findings import read_findings
from sdor.study.fingerprint import versions_of
from sdor.tracking.model import load_ensemble
from sdor.tracking.runs import Entry, RunFiles, run_entries, study_entry
from sdor.tracking.store import sqlite_file, store_fault, without_secrets

KEY, RECORDED = "sdor.key", "sdor.recorded"
BATCH = 900  # metrics in one call; MLflow takes 1000
FOLDERS = {".png": "figures", ".md": "tables", ".csv": "tables"}


@dataclass
class Receipt:
    """What was recorded where; `runs` and `models` say MLflow's id of each place."""

    store: str  # its URI, without user name and password
    experiment: str
    complete: bool = False
    reason: str = ""  # why it is not
    runs: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    new: int = 0  # runs that were added


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
    artefacts : tables and figures of the whole study.
    failures : a file that gets a line where not all could be recorded.

    Raises
    ------
    SdorError : a file of the results is damaged or missing. A store that cannot be used raises
        nothing: the receipt is not complete then.
    """
    known = read_findings(findings)
    groups = [run_entries(run, known) for run in runs]
    entries = [*chain(*groups), study_entry([group[0] for group in groups], artefacts)]
    receipt = Receipt(without_secrets(uri), experiment, reason=store_fault(uri))
    # MLflow's libraries print whatever reaches the root logger.
    logger.propagate = False
    try:
        if not receipt.reason:
            store = Store(uri, experiment)
            for entry in track(entries, unit="run", label="tracking"):
                store.record(entry, receipt)
            receipt.complete = True
    except ImportError as error:  # of its driver
        receipt.reason = f"{error}: what this kind of store needs is not installed"
    except (MlflowException, SQLAlchemyError, OSError) as error:
        receipt.reason = without_secrets(" ".join(str(error).split()))[:300] or type(error).__name__
    if not receipt.complete:
        with Path(failures).open("a") as file:
            file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {receipt.store}: {receipt.reason}\n")
    write_json(output, asdict(receipt))
    return receipt


class Store:
    """An experiment in MLflow's store.

    Parameters
    ----------
    uri : of the store. Beside an SQLite file the artefacts lie in `mlartifacts/<experiment>`.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        mlflow.set_tracking_uri(uri)
        self.client = mlflow.MlflowClient(uri, uri)
        file = sqlite_file(uri)
        place = (file.resolve().parent / "mlartifacts" / experiment).as_uri() if file else None
        found = self.client.get_experiment_by_name(experiment)
        if found and place and found.artifact_location != place:
            # Moved or copied here, and it would go on writing there: it stays, by another name.
            self.client.rename_experiment(found.experiment_id, f"{experiment}-{uuid4().hex[:8]}")
            found = None
        self.experiment_id = str(
            found.experiment_id if found else self.client.create_experiment(experiment, place)
        )
        mlflow.set_experiment(experiment_id=self.experiment_id)  # where models are logged
        ours = f"tags.`{KEY}` LIKE '%'"
        known = mlflow.search_runs([self.experiment_id], ours, output_format="list")
        self._known: dict[str, Run] = {run.data.tags[KEY]: run for run in known}

    def record(self, entry: Entry, receipt: Receipt) -> None:
        """Find or create the run of an entry, record what it does not have yet, and note its id."""
        run = self._known.get(entry.key)
        # Times are left out: those of copied files may change.
        files = {path: file_sha256(path) for path in entry.artefacts}
        content = digest_of([entry.metrics, entry.params, files])
        if run is None:
            tags = {**entry.tags, KEY: entry.key, "mlflow.source.name": "sdor"}
            if entry.parent:
                tags["mlflow.parentRunId"] = receipt.runs[entry.parent]
            run = self.client.create_run(self.experiment_id, entry.start, tags, entry.place)
            receipt.new += 1
        run_id = receipt.runs[entry.place] = str(run.info.run_id)
        if run.data.tags.get(RECORDED) != content:
            self.client.log_batch(run_id, params=[Param(*one) for one in entry.params.items()])
            metrics = [Metric(name, one, entry.end, step) for name, one, step in entry.metrics]
            for start in range(0, len(metrics), BATCH):
                self.client.log_batch(run_id, metrics=metrics[start : start + BATCH])
            for path in entry.artefacts:
                self.client.log_artifact(run_id, path, FOLDERS.get(Path(path).suffix))
            self.client.set_terminated(run_id, "FINISHED", entry.end)
            # The last word: without it, the run is completed by the next import.
            self.client.set_tag(run_id, RECORDED, content)
        if entry.model is not None:
            receipt.models[entry.place] = self._model(entry, entry.model, run_id)

    def _model(self, entry: Entry, run: RunFiles, run_id: str) -> str:
        """The id of a run's ensemble as a logged model, which is exported unless it is there.

        It is a graph with its weights that loads without this package.
        """
        of_run = f"source_run_id = '{run_id}'"
        for model in self.client.search_logged_models([self.experiment_id], of_run):
            if model.status == LoggedModelStatus.READY:
                return str(model.model_id)
            self.client.delete_logged_model(model.model_id)  # cut off
        ensemble, frames = load_ensemble(run)
        versions = versions_of("mlflow", "numpy", "torch")
        with warnings.catch_warnings(action="ignore"):  # of the exporter, which ask for nothing
            exported = mlflow.pytorch.log_model(
                ensemble,
                name=entry.place.replace("/", "-"),
                run_id=run_id,
                input_example=frames,
                serialization_format="pt2",
                pip_requirements=[f"{name}=={version}" for name, version in versions.items()],
            )
        return str(exported.model_id)
