"""Show the results in MLflow: files are the truth, its store is a view that can be made again.

One process writes, after all stages, what `tracked_runs` reads from the files. A run is found by a
tag with its key, or created; what is in it already is left alone. So a second import adds nothing,
and one that was cut off is completed.
"""

import contextlib
import json
import logging
import os
import re
import socket
import tempfile
import time
import urllib.request
import uuid
import zlib
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sdor.errors import SdorError
from sdor.files import write_json
from sdor.progress import logger, track
from sdor.tracking.model import examples, load_ensemble, save_ensemble
from sdor.tracking.runs import Entry, Part, Point, run_entries, study_entry
from sdor.tracking.store import shown_uri, sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

KEY, RECORDED, MODEL = "sdor.key", "sdor.recorded", "sdor.model"
BATCH = 900  # metrics in one call; MLflow takes 1000
CONNECT_SECONDS = 5.0
# MLflow's HTTP client would try for minutes. Settings of one's own win.
MLFLOW_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
# A view as MLflow's own page saves it: the runs themselves, the best first, with telling columns.
VIEW = {
    "searchFilter": 'tags.`sdor.kind` = "run"',
    "orderByKey": "metrics.`auc_merged`",
    "orderByAsc": False,
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "datasetsFilter": [],
    "modelVersionFilter": "All Runs",
    "selectedColumns": [
        "attributes.`Models`",
        *(f"metrics.`{name}`" for name in ("auc_merged", "auc_test_only", "average_precision")),
        *(f"metrics.`{name}`" for name in ("gain/auc_merged", "minutes_of_training")),
        *(f"params.`{name}`" for name in ("backbone", "trainable", "loss")),
    ],
}
EXPERIMENT_NOTE = (
    "Self-trained deep ordinal regression: one run for each scene, variant and seed, below it one "
    "for each iteration and each round of feedback, and one run with the tables of the whole "
    "study. **Views ▸ Results** (top right) has the columns to compare by. Everything here is a "
    "view of the files in `results/`."
)
MODEL_NOTE = (
    "The final ensemble of `{run}`: uint8 frames as in the input example → anomaly scores; the "
    "higher, the more anomalous. It computes in float32. The tag `sdor.example` has clip, frame "
    "and score of the frames in the input example.\n\n"
    '`mlflow.pyfunc.load_model("models:/<model id>").predict(frames)`'
)


class AbsentStoreError(Exception):
    """The store cannot be used now; the words say why."""


def track_study(
    runs: Sequence[Mapping[str, Any]],
    output: str | Path,
    *,
    uri: str,
    experiment: str,
    tables: Sequence[str],
    figures: Sequence[str],
) -> dict[str, Any]:
    """Record all runs of a study in MLflow, and write a receipt.

    Parameters
    ----------
    runs : see `tracked_runs.run_entries`; and `model`, for runs whose ensemble is kept as a model:
        `models` (of all iterations), `weights` and `frames` (clip: file); else None.
    output : the receipt, JSON.
    uri : of MLflow's store.
    tables, figures : of the whole study.

    Returns
    -------
    What the receipt holds: `store`, `experiment`, `complete`, `reason` (why it is not complete),
    `runs` (place: MLflow's id), `models` (place: MLflow's id), `new` (how many runs were added).

    Raises
    ------
    SdorError : a file of the results is damaged or missing. A store that cannot be used raises
        nothing: the receipt is not complete then.
    """
    entries = [run_entries(run) for run in runs]
    study = study_entry([entry for group in entries for entry in group], tables, figures)
    receipt: dict[str, Any] = {
        "store": shown_uri(uri),
        "experiment": experiment,
        "complete": False,
        "reason": "",
        "runs": {},
        "models": {},
        "new": 0,
    }
    try:
        with _logging_of_our_own(), _absence_in_words():
            store = Store(uri, experiment)
            pairs = list(zip(runs, entries, strict=True))
            for run, group in track(pairs, unit="run", label="tracking"):
                for entry in group:
                    receipt["runs"][entry.place] = store.record(entry)
                if run["model"] is not None:
                    model = store.record_model(group[0], run, Path(output).resolve().parent)
                    receipt["models"][group[0].place] = model
            receipt["runs"][study.place] = store.record(study)
            receipt["new"] = store.added
            receipt["complete"] = True
    except AbsentStoreError as error:
        receipt["reason"] = str(error)
    write_json(output, receipt)
    return receipt


class Store:
    """An experiment in MLflow's store.

    Parameters
    ----------
    uri : of the store. Beside an SQLite file the artefacts lie in `mlartifacts/<experiment>`.

    Attributes
    ----------
    added : runs that were not there before.

    Raises
    ------
    AbsentStoreError : it cannot be reached, or the experiment was deleted in it.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        _knock(uri)
        self.client = _client(uri)
        self.added = 0
        self.experiment_id = self._experiment(uri, experiment)
        self._ids: dict[str, str] = {}
        self._known = self._find_runs()

    def record(self, entry: Entry) -> str:
        """Find or create the run of an entry, and record what it does not have yet; its id.

        A run that was deleted in MLflow stays deleted.
        """
        run = self._known.get(entry.key)
        if run is None:
            tags = {KEY: entry.key, **_tags_of(entry)}
            if entry.parent is not None:
                tags["mlflow.parentRunId"] = self._ids[entry.parent]
            run = self.client.create_run(
                self.experiment_id, start_time=entry.start, tags=tags, run_name=entry.name
            )
            self.added += 1
        run_id: str = run.info.run_id
        self._ids[entry.place] = run_id
        wanted = {name: part.digest for name, part in entry.parts.items()}
        recorded = json.loads(run.data.tags.get(RECORDED, "{}"))
        if wanted == recorded or run.info.lifecycle_stage != "active":
            return run_id
        self._describe(run, entry)
        for name, part in entry.parts.items():
            if recorded.get(name) != part.digest:
                self._record_part(run_id, part)
        self.client.set_terminated(run_id, "FINISHED", entry.end)
        # The last word: without it, the run is completed by the next import.
        self.client.set_tag(run_id, RECORDED, json.dumps(wanted))
        return run_id

    def record_model(self, entry: Entry, run: Mapping[str, Any], scratch: Path) -> str:
        """Keep the ensemble of a run as a logged model, unless it is there; its id.

        Parameters
        ----------
        entry : of the run, recorded already.
        run : see `track_study`.
        scratch : a folder with room for the model while it is handed over.
        """
        from mlflow.entities import LoggedModelOutput

        run_id = self._ids[entry.place]
        recorded = self.client.get_run(run_id)
        known: str | None = recorded.data.tags.get(MODEL)
        if known is not None or recorded.info.lifecycle_stage != "active":
            return known or ""
        place = f"{run['scene']}-{run['variant']}-seed{run['seed']}"
        for cut_off in self.client.search_logged_models(
            [self.experiment_id], filter_string=f"source_run_id = '{run_id}'"
        ):
            self.client.delete_logged_model(cut_off.model_id)
        ensemble = load_ensemble(
            [Path(path) for path in run["model"]["models"]],
            Path(run["model"]["weights"]),
            method=run["model"]["method"],
        )
        example = examples(
            {clip: Path(path) for clip, path in run["model"]["frames"].items()},
            Path(run["model"]["ensemble"]),
            window=ensemble.window,
        )
        model = self.client.create_logged_model(
            self.experiment_id,
            name=place,
            source_run_id=run_id,
            tags={
                KEY: entry.key,
                "sdor.example": json.dumps(example.rows),
                "mlflow.note.content": MODEL_NOTE.format(run=entry.place),
            },
            params=entry.params,
            model_type="anomaly score of frames",
        )
        model_id: str = model.model_id
        with tempfile.TemporaryDirectory(prefix=".model.", dir=scratch) as folder:
            path = Path(folder) / "model"
            save_ensemble(ensemble, example, path, run_id=run_id, model_id=model_id)
            self.client.log_model_artifacts(model_id, str(path))
        self.client.finalize_logged_model(model_id, "READY")
        self.client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
        summary = [point for point in entry.parts["metrics"].metrics if point.step == 0]
        self._log_metrics(run_id, summary, model_id)
        self.client.set_tag(run_id, MODEL, model_id)
        return model_id

    def _experiment(self, uri: str, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        database = sqlite_file(uri)
        root = database.resolve().parent / "mlartifacts" if database else None
        if found is not None:
            if found.lifecycle_stage != "active":
                raise AbsentStoreError(
                    f"the experiment {name} was deleted there; restore it, or set "
                    "tracking.experiment"
                )
            number, kept = str(found.experiment_id), str(found.artifact_location)
            if not root or "/mlartifacts/" not in kept or kept.startswith(f"{root.as_uri()}/"):
                return number
            # The store was moved or copied here, and would go on writing at the old place. What it
            # has stays, under another name.
            self.client.rename_experiment(number, f"{name}-{number}")
        # Of its own: another store beside this one may have an experiment of the same name.
        location = (root / f"{name}-{uuid.uuid4().hex[:8]}").as_uri() if root else None
        return str(
            self.client.create_experiment(name, artifact_location=location, tags=_experiment_tags())
        )

    def _find_runs(self) -> dict[str, "Run"]:
        """Every run of this project's that the experiment has, by its key."""
        from mlflow.entities import ViewType

        found: dict[str, Run] = {}
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id],
                filter_string=f"tags.`{KEY}` LIKE '%'",
                run_view_type=ViewType.ALL,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            for run in page:
                found.setdefault(run.data.tags[KEY], run)
            token = page.token
            if not token:
                return found

    def _describe(self, run: "Run", entry: Entry) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag

        run_id = run.info.run_id
        known = run.data.params  # which never change in MLflow
        params = [Param(key, value) for key, value in entry.params.items() if key not in known]
        tags = [RunTag(key, value) for key, value in _tags_of(entry).items()]
        self.client.log_batch(run_id, params=params, tags=tags)
        if entry.dataset is not None:
            dataset = Dataset(
                name=entry.dataset["name"],
                digest=entry.dataset["digest"],
                source_type="video",
                source=json.dumps({"description": entry.dataset["source"]}),
                profile=json.dumps({"num_rows": entry.dataset["frames"]}),
            )
            used = DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])
            self.client.log_inputs(run_id, [used])

    def _record_part(self, run_id: str, part: Part) -> None:
        self._log_metrics(run_id, part.metrics)
        for path, folder in part.artefacts:
            self.client.log_artifact(run_id, str(path), folder or None)

    def _log_metrics(
        self, run_id: str, points: Sequence[Point], model_id: str | None = None
    ) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(point.name, point.value, point.time, point.step, model_id) for point in points
        ]
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(run_id, metrics=metrics[start : start + BATCH])


def _experiment_tags() -> dict[str, str]:
    now = round(1000 * time.time())
    state = b64encode(zlib.compress(json.dumps(VIEW).encode())).decode()
    view = {"name": "Results", "createdAt": now, "updatedAt": now, "state": f"deflate;{state}"}
    return {
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.note.content": EXPERIMENT_NOTE,
        "mlflow.sharedViewState.sdor": json.dumps(view),
    }


def _tags_of(entry: Entry) -> dict[str, str]:
    return {
        "mlflow.note.content": entry.note,
        "mlflow.source.name": "sdor",
        "mlflow.source.type": "LOCAL",
        **entry.tags,
    }


def _client(uri: str) -> "MlflowClient":
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # is looked at by the import
    for name, value in MLFLOW_SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient  # takes seconds

    return MlflowClient(uri, uri)


def _knock(uri: str) -> None:
    """Find out in seconds whether a server is there at all.

    Raises
    ------
    AbsentStoreError : nothing listens.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or parts.hostname is None:
        return
    through_proxy = parts.scheme in urllib.request.getproxies()
    if through_proxy and not urllib.request.proxy_bypass(parts.hostname):
        return
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    try:
        socket.create_connection((parts.hostname, port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise AbsentStoreError(f"no answer ({error.strerror or error})") from error


@contextlib.contextmanager
def _logging_of_our_own() -> Iterator[None]:
    """MLflow's libraries hang their own outlets into the root logger: take them out again."""
    before = logging.root.handlers[:], logging.root.level
    try:
        yield
    finally:
        logging.root.handlers[:] = before[0]
        logging.root.setLevel(before[1])


@contextlib.contextmanager
def _absence_in_words() -> Iterator[None]:
    """Turn what MLflow raises when its store cannot be used into `AbsentStoreError`."""
    try:
        yield
    except (AbsentStoreError, SdorError):
        raise
    except Exception as error:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        if not isinstance(error, MlflowException | SQLAlchemyError | OSError):
            raise
        first = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
        # MLflow quotes the address, which may hold a password.
        said = re.sub(r"(\w+://)[^/\s@]*@", r"\1", first)
        if "not a database" in said or "malformed" in said:
            said = f"its file is damaged ({said}): move or delete it"
        logger.warning("MLflow: %s", said)
        raise AbsentStoreError(said[:300]) from error
