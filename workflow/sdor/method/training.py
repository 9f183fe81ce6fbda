"""One iteration of self-training: phi_t learns the pseudo labels, then scores every frame."""

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sdor.errors import SdorError
from sdor.files import (
    CHECKPOINT,
    atomic,
    digest,
    digest_of,
    file_sha256,
    read_parquet,
    write_parquet,
)
from sdor.method.scorer import Scorer, TrainablePart, load_scorer, psi_of, save_part
from sdor.networks.compute import Compute, memory_in_words
from sdor.networks.feature_table import read_features
from sdor.networks.inputs import Inputs, batched, open_trunk_maps
from sdor.progress import logger, track
from sdor.video.store import FrameStore

Batch = tuple[NDArray[np.int64], NDArray[np.float32]]
FOCUS = 2.0  # gamma of the focal loss, as Lin et al. 2017 recommend
SCORING_BATCH = {1: 64, 16: 8}  # by the frames that the network looks at


def run_iteration(
    *,
    rows: list[Path],
    index: Path,
    pseudo_labels: Path,
    weights: Path,
    warm: Path | None,
    folder: Path,
    method: dict[str, Any],
    seed: int,
    iteration: int,
    compute: Compute,
    about: dict[str, Any],
) -> pd.DataFrame:
    """Train phi_t, score all frames, and write model, history and scores into `folder`.

    Parameters
    ----------
    rows : what the trainable part starts from: the clips' frames ("all"), the trunk's maps
        ("layer4") or the pooled features ("head").
    index : a table of clip, frame and row (among those of `rows`) of the frames that are used.
    pseudo_labels : table of (clip, frame, label, weight).
    weights : the backbone's. warm : the model to go on from instead of the backbone's weights.

    Returns
    -------
    The history, see `train`.

    Raises
    ------
    SdorError : an input is damaged, or inputs are not of the same frames, or the loss diverged.
    """
    make_repeatable(compute)
    head_seed = int(np.random.default_rng([seed, iteration]).integers(2**31))
    part = open_part(weights, warm, method=method, compute=compute, head_seed=head_seed)
    inputs, frames = open_inputs(part, rows, index, trainable=method["trainable"], compute=compute)
    labels = with_rows(read_parquet(pseudo_labels), frames)
    about = {**about, "compute": compute.describe()}
    return train_and_score(
        part,
        inputs,
        frames,
        labels,
        folder=folder,
        method=method,
        seed=[seed, iteration],
        compute=compute,
        began_from=[path for path in (weights, warm) if path is not None],
        about=about,
    )


def open_part(
    weights: Path,
    model: Path | None,
    *,
    method: dict[str, Any],
    compute: Compute,
    head_seed: int = 0,
    from_features: bool | None = None,
) -> TrainablePart:
    """The scorer on its device: with a trained model, or the backbone's weights and a new head.

    Parameters
    ----------
    from_features : leave the backbone out; as a rule, where the head alone trains.
    """
    trainable, hidden_units = method["trainable"], method["hidden_units"]
    if from_features is None:
        from_features = trainable == "head"
    if model is None:
        psi = psi_of(weights, from_features)
        scorer = Scorer(psi, hidden_units=hidden_units, seed=head_seed)
    else:
        scorer = load_scorer(
            model,
            weights,
            hidden_units=hidden_units,
            trainable=trainable,
            from_features=from_features,
        )
    compute.place(scorer)
    return TrainablePart(scorer, trainable)


def open_inputs(
    part: TrainablePart, rows: list[Path], index: Path, *, trainable: str, compute: Compute
) -> tuple[Inputs, pd.DataFrame]:
    """What a part starts from, and the frames that are used of it.

    Returns
    -------
    The inputs, one row a frame of the scene, and a table of clip, frame and row.

    Raises
    ------
    SdorError : an input is damaged, or not of the frames of the index.
    """
    frames = read_parquet(index, ["clip", "frame", "row"])
    inputs = open_rows(rows, trainable, part.scorer.window, compute)
    if len(inputs) <= int(frames["row"].max()):
        raise SdorError(f"{rows[0]}: {len(inputs)} rows, but {index} has {len(frames)} frames")
    if isinstance(inputs.source, FrameStore):
        _check_order(inputs.source.index().iloc[frames["row"]], frames, index)
    return inputs, frames


def train_and_score(
    part: TrainablePart,
    inputs: Inputs,
    frames: pd.DataFrame,
    labels: pd.DataFrame,
    *,
    folder: Path,
    method: dict[str, Any],
    seed: list[int],
    compute: Compute,
    began_from: list[Path],
    about: dict[str, Any],
) -> pd.DataFrame:
    """Train a part, score the frames, and write model, history and scores into a folder.

    The checkpoint stays there until all that follows is safe (see `forget_checkpoint`): where jobs
    run in groups, one that fails costs the outputs of those before it, and they run again.

    Parameters
    ----------
    labels : columns row, label and weight, see `train`.
    seed : numbers that every random choice follows from.
    began_from : the files whose weights the part has: with other ones, a checkpoint does not count.

    Returns
    -------
    The history, see `train`.
    """
    checkpoint = folder / CHECKPOINT
    content = digest(pd.util.hash_pandas_object(labels, index=False).to_numpy().tobytes())
    began = [file_sha256(path) for path in began_from]
    with memory_in_words():
        history = train(
            part,
            inputs,
            labels,
            method=method,
            seed=seed,
            compute=compute,
            checkpoint=checkpoint,
            fingerprint=digest_of([about, method, seed, began, content]),
        )
        scores = score_rows(part, inputs, frames["row"].to_numpy(), compute)
    save_part(part, folder / "model.safetensors", {"sdor": json.dumps(about)})
    write_parquet(folder / "history.parquet", history, {"seconds": "s", **about})
    convention = {"score": "the higher, the more anomalous"}
    scored = frames[["clip", "frame"]].assign(score=scores)
    write_parquet(folder / "scores.parquet", scored, {**convention, **about})
    return history


def open_rows(paths: list[Path], trainable: str, window: int, compute: Compute) -> Inputs:
    """What the trainable part starts from, as rows in the scene's order."""
    if trainable == "all":
        return Inputs(FrameStore({path.stem: path for path in paths}), compute, window=window)
    if trainable == "layer4":
        return open_trunk_maps(paths[0], compute)
    return Inputs(read_features(paths[0])[1], compute)


def train(
    part: TrainablePart,
    inputs: Inputs,
    labels: pd.DataFrame,
    *,
    method: dict[str, Any],
    seed: list[int],
    compute: Compute,
    checkpoint: Path,
    fingerprint: str,
) -> pd.DataFrame:
    """Minimise the ordinal regression loss (Eq. 8) over A and N with stochastic gradient descent.

    A training that was stopped goes on after its last whole epoch and ends with the same weights:
    each epoch draws its batches from a generator of its own.

    Parameters
    ----------
    part : what trains; it starts from the weights that it has.
    inputs : what `part` starts from, one row a frame of the scene.
    labels : columns row (of `inputs`), label (1 / 0) and weight.
    seed : numbers that every random choice follows from.
    checkpoint : file that holds the state after each epoch, until what follows is safe (see
        `forget_checkpoint`). One with another `fingerprint` is ignored.

    Returns
    -------
    Table of epoch, loss (mean over the epoch's batches) and seconds.

    Raises
    ------
    SdorError : the loss is not finite any more.
    """
    optimiser = torch.optim.SGD(
        part.parameters(),
        lr=method["learning_rate"],
        momentum=method["momentum"],
        weight_decay=method["weight_decay"],
    )
    history = _resume(checkpoint, fingerprint, part, optimiser)
    epochs = range(len(history) + 1, method["epochs"] + 1)
    for epoch in track(epochs, unit="epoch", label="training"):
        started = time.monotonic()
        rng = np.random.default_rng([*seed, epoch])
        batches = list(epoch_batches(labels, method=method, rng=rng))
        loss = train_epoch(part, inputs, batches, optimiser, method=method, compute=compute)
        if not math.isfinite(loss):
            raise SdorError(
                f"epoch {epoch}: the loss is {loss}; lower learning_rate "
                f"({method['learning_rate']:g}) or set precision: fp32"
            )
        history.append({"epoch": epoch, "loss": loss, "seconds": time.monotonic() - started})
        logger.info("epoch %d/%d: loss %.4f", epoch, method["epochs"], loss)
        state = {
            "fingerprint": fingerprint,
            "part": part.state(),
            "optimiser": optimiser.state_dict(),
            "history": history,
        }
        with atomic(checkpoint) as temporary:
            torch.save(state, temporary)
    return pd.DataFrame(history, columns=["epoch", "loss", "seconds"])


def train_epoch(
    part: TrainablePart,
    inputs: Inputs,
    batches: list[Batch],
    optimiser: torch.optim.Optimizer,
    *,
    method: dict[str, Any],
    compute: Compute,
) -> float:
    """One pass over drawn batches; returns the mean loss."""
    part.train(batchnorm=method["batchnorm"])
    total = torch.zeros((), device=compute.device)
    stream = inputs.batches(rows for rows, _ in batches)
    for batch, (_, targets) in zip(stream, batches, strict=True):
        wanted = torch.from_numpy(targets).to(compute.device, non_blocking=True)
        with compute.autocast():
            scores = part.score(batch)
        loss = loss_of(scores, wanted, method)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += loss.detach()  # stays on the device: reading it would wait for each step
    return float(total / len(batches))


def loss_of(scores: Tensor, targets: Tensor, method: dict[str, Any]) -> Tensor:
    """Mean loss of a batch: L1 (Eq. 8), L2, or the focal loss.

    The focal loss (Lin et al. 2017) takes phi as the logit of "belongs to A" and needs no c1 and
    c2. It has no weight of the classes: batches are balanced as a rule.
    """
    if method["loss"] == "l1":
        return nn.functional.l1_loss(scores, targets)
    if method["loss"] == "l2":
        return nn.functional.mse_loss(scores, targets)
    anomalous = (targets > (method["c1"] + method["c2"]) / 2).float()
    loss = nn.functional.binary_cross_entropy_with_logits(scores, anomalous, reduction="none")
    return ((1 - torch.exp(-loss)) ** FOCUS * loss).mean()


def epoch_batches(
    labels: pd.DataFrame, *, method: dict[str, Any], rng: np.random.Generator
) -> Iterator[Batch]:
    """Draw one epoch's batches: rows of the inputs, and their targets c1 or c2.

    Members are drawn with replacement by their weight. A batch holds as many of A as of N
    ("balanced"), or as many of each as their sizes say ("proportional").

    Yields
    ------
    (batch_size,) row numbers and (batch_size,) float32 targets.
    """
    size, steps = method["batch_size"], method["steps_per_epoch"]
    if steps == "auto":
        steps = math.ceil(len(labels) / size)
    members = {label: labels[labels["label"] == label] for label in (1, 0)}
    share = 0.5 if method["batch"] == "balanced" else len(members[1]) / len(labels)
    anomalous = min(max(round(size * share), 1), size - 1)
    # An expert may mark frames of one kind alone.
    anomalous = size if members[0].empty else 0 if members[1].empty else anomalous
    counts = {1: anomalous, 0: size - anomalous}
    targets = np.repeat([method["c1"], method["c2"]], list(counts.values())).astype(np.float32)
    for _ in range(steps):
        drawn = [
            rng.choice(members[label]["row"], count, p=members[label]["weight"])
            for label, count in counts.items()
            if count
        ]
        yield np.concatenate(drawn), targets


def score_rows(
    part: TrainablePart, inputs: Inputs, rows: NDArray[np.int64], compute: Compute
) -> NDArray[np.float32]:
    """Anomaly scores phi(x) of rows of the inputs: (rows,) float32."""
    part.scorer.eval()
    batches = batched(rows, SCORING_BATCH[part.scorer.window])
    stream = track(inputs.batches(batches), total=len(batches), unit="batch", label="scores")
    with torch.inference_mode(), compute.autocast():
        return torch.cat([part.score(batch).cpu() for batch in stream]).numpy()


def with_rows(labels: pd.DataFrame, frames: pd.DataFrame) -> pd.DataFrame:
    """Labels of (clip, frame, …) with the row of the inputs that each stands for.

    Raises
    ------
    SdorError : a label is of a frame that is not there.
    """
    found = labels.merge(
        frames[["clip", "frame", "row"]], on=["clip", "frame"], how="inner", validate="one_to_one"
    )
    if len(found) != len(labels):
        raise SdorError("the pseudo labels are of other frames than the inputs; delete them")
    return found


def make_repeatable(compute: Compute) -> None:
    """On a CPU the same seed gives the same weights; a GPU picks its fastest convolutions."""
    if compute.device.type == "cpu":
        torch.use_deterministic_algorithms(True)
    else:
        torch.backends.cudnn.benchmark = True


def _check_order(stored: pd.DataFrame, frames: pd.DataFrame, index: Path) -> None:
    for column in ("clip", "frame"):
        if (stored[column].to_numpy() != frames[column].to_numpy()).any():
            raise SdorError(f"{index}: of other clips than the stored frames; delete it")


def _resume(
    checkpoint: Path, fingerprint: str, part: TrainablePart, optimiser: torch.optim.Optimizer
) -> list[dict[str, float]]:
    if not checkpoint.is_file():
        return []
    try:
        saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception:  # whatever pickle and zipfile raise: a damaged checkpoint only costs time
        logger.warning("%s: damaged, training starts again", checkpoint)
        return []
    if saved["fingerprint"] != fingerprint:
        logger.info("%s: of other settings, training starts again", checkpoint)
        return []
    part.load_state(saved["part"])
    optimiser.load_state_dict(saved["optimiser"])
    history: list[dict[str, float]] = saved["history"]
    logger.info("resumed after epoch %d", len(history))
    return history
