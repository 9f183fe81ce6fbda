"""The training of phi on pseudo labels (section 3.2), and the scores that it gives."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sdor.errors import SdorError
from sdor.files import CHECKPOINT, About, atomic, digest, digest_of, file_sha256, write_parquet
from sdor.method.scorer import Scorer, load_scorer, new_scorer, save_scorer
from sdor.method.scores import write_scores
from sdor.method.sources import Rows, Sources, outputs
from sdor.networks.backbones import load_backbone
from sdor.networks.compute import Compute
from sdor.networks.inputs import Inputs
from sdor.progress import logger, track
from sdor.study.settings import TrainingSettings

Batch = tuple[Rows, NDArray[np.float32]]
History = list[dict[str, float]]
FOCUS = 2.0  # gamma of the focal loss, as Lin et al. 2017 recommend
SCORING_BATCH = {1: 64, 16: 8}  # by the frames that the network looks at


@dataclass(frozen=True)
class Checkpoint:
    """A file that holds the state of a training.

    Attributes
    ----------
    fingerprint : of everything that the training follows from; a state with another one is ignored.
    """

    path: Path
    fingerprint: str

    def save(self, scorer: Scorer, optimiser: torch.optim.Optimizer, history: History) -> None:
        """Keep the state after an epoch, in place of the one before."""
        state = {
            "fingerprint": self.fingerprint,
            "scorer": scorer.trained_state(),
            "optimiser": optimiser.state_dict(),
            "history": history,
        }
        with atomic(self.path) as temporary:
            torch.save(state, temporary)

    def resume(self, scorer: Scorer, optimiser: torch.optim.Optimizer) -> History:
        """Take over the kept state, if there is one; returns the epochs that it stands for."""
        if not self.path.is_file():
            return []
        try:
            saved = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception:  # whatever pickle and zipfile raise: damage only costs time
            saved = {"fingerprint": ""}
        if saved["fingerprint"] != self.fingerprint:
            logger.warning("%s: damaged or of other settings, training starts again", self.path)
            return []
        scorer.load_trained(saved["scorer"])
        optimiser.load_state_dict(saved["optimiser"])
        history: History = saved["history"]
        logger.info("resumed after epoch %d", len(history))
        return history


def train(
    scorer: Scorer,
    inputs: Inputs,
    labels: pd.DataFrame,
    settings: TrainingSettings,
    *,
    seed: Sequence[int],
    checkpoint: Checkpoint | None = None,
) -> pd.DataFrame:
    """Minimise the ordinal regression loss (Eq. 8) over A and N with stochastic gradient descent.

    Each epoch draws its batches from a generator of its own: a training that was stopped goes on
    from its checkpoint and ends with the same weights.

    Parameters
    ----------
    inputs : what phi starts from, one row a frame of the scene.
    labels : columns row (of `inputs`), label (1 / 0) and weight.
    seed : numbers that every random choice follows from.

    Returns
    -------
    Table of epoch, loss (mean over the epoch's batches) and seconds.

    Raises
    ------
    SdorError : the loss is not finite any more, or the GPU has too little memory.
    """
    optimiser = torch.optim.SGD(
        [weight for weight in scorer.parameters() if weight.requires_grad],
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    history = checkpoint.resume(scorer, optimiser) if checkpoint else []
    epochs = range(len(history) + 1, settings.epochs + 1)
    for epoch in track(epochs, unit="epoch", label="training"):
        started = time.monotonic()
        rng = np.random.default_rng([*seed, epoch])
        batches = list(epoch_batches(labels, settings, rng=rng))
        with inputs.compute.repeatable():
            loss = train_epoch(scorer, inputs, batches, optimiser, settings)
        if not math.isfinite(loss):
            raise SdorError(
                f"epoch {epoch}: the loss is {loss}; lower learning_rate "
                f"({settings.learning_rate:g}) or set precision: fp32"
            )
        history.append({"epoch": epoch, "loss": loss, "seconds": time.monotonic() - started})
        logger.info("epoch %d/%d: loss %.4f", epoch, settings.epochs, loss)
        if checkpoint:
            checkpoint.save(scorer, optimiser, history)
    return pd.DataFrame(history, columns=["epoch", "loss", "seconds"])


def train_epoch(
    scorer: Scorer,
    inputs: Inputs,
    batches: Sequence[Batch],
    optimiser: torch.optim.Optimizer,
    settings: TrainingSettings,
) -> float:
    """One pass over drawn batches; returns the mean loss."""
    compute = inputs.compute
    scorer.train_mode(batchnorm=settings.batchnorm)
    total = torch.zeros((), device=compute.device)
    stream = inputs.batches(rows for rows, _ in batches)
    for batch, (_, targets) in zip(stream, batches, strict=True):
        wanted = torch.from_numpy(targets).to(compute.device, non_blocking=True)
        with compute.autocast():
            scores = scorer(batch)
        loss = loss_of(scores, wanted, settings)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += loss.detach()  # stays on the device: reading it would wait for each step
    return float(total / len(batches))


def loss_of(scores: Tensor, targets: Tensor, settings: TrainingSettings) -> Tensor:
    """Mean loss of a batch: "l1" (Eq. 8), "l2" or "focal".

    The focal loss (Lin et al. 2017) takes phi as the logit of "belongs to A" and needs no c1 and
    c2. It has no weight of the classes: batches are balanced as a rule.
    """
    if settings.loss == "l1":
        return nn.functional.l1_loss(scores, targets)
    if settings.loss == "l2":
        return nn.functional.mse_loss(scores, targets)
    if settings.loss != "focal":
        raise ValueError(f"no loss is known as {settings.loss}")
    anomalous = (targets > (settings.c1 + settings.c2) / 2).float()
    loss = nn.functional.binary_cross_entropy_with_logits(scores, anomalous, reduction="none")
    return ((1 - torch.exp(-loss)) ** FOCUS * loss).mean()


def epoch_batches(
    labels: pd.DataFrame, settings: TrainingSettings, *, rng: np.random.Generator
) -> Iterator[Batch]:
    """Draw one epoch's batches: rows of the inputs, and their targets c1 or c2.

    Members are drawn with replacement by their weight. A batch holds as many of A as of N
    ("balanced"), or as many of each as their sizes say ("proportional").

    Yields
    ------
    (batch_size,) row numbers and (batch_size,) float32 targets.
    """
    size = settings.batch_size
    auto = settings.steps_per_epoch == "auto"
    steps = math.ceil(len(labels) / size) if auto else int(settings.steps_per_epoch)
    members = {label: labels[labels["label"] == label] for label in (1, 0)}
    share = 0.5 if settings.batch == "balanced" else len(members[1]) / len(labels)
    anomalous = min(max(round(size * share), 1), size - 1)
    # An expert may mark frames of one kind alone.
    anomalous = size if members[0].empty else 0 if members[1].empty else anomalous
    counts = {1: anomalous, 0: size - anomalous}
    targets = np.repeat([settings.c1, settings.c2], list(counts.values())).astype(np.float32)
    for _ in range(steps):
        drawn = [
            rng.choice(members[label]["row"], count, p=members[label]["weight"])
            for label, count in counts.items()
            if count
        ]
        yield np.concatenate(drawn), targets


def score_rows(scorer: Scorer, inputs: Inputs, rows: Rows | None = None) -> NDArray[np.float32]:
    """Anomaly scores phi(x) of rows of the inputs, or of all: (rows,) float32."""
    size = SCORING_BATCH[scorer.window]
    scorer.eval()
    return np.concatenate([*outputs(scorer, inputs, rows, size, "scores")])


def train_and_score(
    sources: Sources,
    labels: pd.DataFrame,
    folder: Path,
    settings: TrainingSettings,
    *,
    seed: Sequence[int],
    compute: Compute,
    about: About,
    model: Path | None = None,
) -> pd.DataFrame:
    """Train phi, score all frames, and write model, history and scores into `folder`.

    The checkpoint stays there until what follows is safe (see `forget_checkpoint`): in a group of
    jobs, one that fails costs the outputs of those before it, and they run again.

    Parameters
    ----------
    labels : columns clip, frame, label (1 / 0) and weight.
    seed : numbers that every random choice follows from.
    model : a trained one to go on from, instead of the backbone's weights and a new head.

    Raises
    ------
    SdorError : an input is damaged, or inputs are not of the same frames, or the loss diverged.
    """
    if model is None:
        scorer = new_scorer(load_backbone(sources.weights), settings, seed=seed)
    else:
        scorer = load_scorer(model, sources.weights, trainable=settings.trainable)
    compute.place(scorer)
    inputs, frames = sources.open(settings.trainable, compute)
    members = labels.merge(frames, on=["clip", "frame"], validate="one_to_one")
    if len(members) != len(labels):
        raise SdorError("the pseudo labels are of other frames than the inputs; delete them")
    about = {**about, "compute": compute.describe()}
    began = [file_sha256(path) for path in (sources.weights, model) if path is not None]
    content = digest(pd.util.hash_pandas_object(members, index=False).to_numpy().tobytes())
    fingerprint = digest_of([about, settings.as_document(), list(seed), began, content])
    checkpoint = Checkpoint(folder / CHECKPOINT, fingerprint)
    history = train(scorer, inputs, members, settings, seed=seed, checkpoint=checkpoint)
    scores = score_rows(scorer, inputs, frames["row"].to_numpy())
    save_scorer(scorer, folder / "model.safetensors", about)
    write_parquet(folder / "history.parquet", history, {"seconds": "s", **about})
    frames = frames[["clip", "frame"]].assign(score=scores)
    write_scores(folder / "scores.parquet", frames, about)
    return history
