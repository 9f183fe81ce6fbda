"""The training of phi on pseudo labels (section 3.2), and the scores that it gives."""

import copy
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sdor.errors import SdorError
from sdor.files import CHECKPOINT, About, atomic, digest, digest_of, file_sha256, write_parquet
from sdor.method.scorer import Scorer, load_scorer, new_scorer, save_scorer
from sdor.method.scores import write_scores
from sdor.method.sources import Sources
from sdor.networks.backbones import load_backbone
from sdor.networks.compute import Compute
from sdor.networks.inputs import Inputs
from sdor.networks.passes import outputs
from sdor.progress import logger, track
from sdor.study.settings import TrainingSettings
from sdor.video.store import Rows

Batch = tuple[Rows, NDArray[np.float32]]
OVERHEAD = 0.01  # of the time of a training goes into its checkpoints
SECONDS_LOST = 60.0  # of work, at most, to a kill
FOCUS = 2.0  # gamma of the focal loss, as Lin et al. 2017 recommend
SCORING_BATCH = {1: 64, 16: 8}  # by the frames that the network looks at


@dataclass
class Done:
    """How far a training has come.

    Attributes
    ----------
    epochs : epoch, loss and seconds of each one that ended.
    steps, loss, seconds : of the one that has begun; its losses are summed.
    """

    epochs: list[dict[str, float]] = field(default_factory=list)
    steps: int = 0
    loss: Tensor | float = 0.0
    seconds: float = 0.0


class Checkpoint:
    """A file that holds the state of a training, written beside it by a thread.

    It is written after the first epoch, and then as often as takes a hundredth of the time, but at
    least once a minute: so much is lost to a kill.

    Parameters
    ----------
    path : of the file; None keeps nothing.
    fingerprint : of what the training follows from but the pixels, which a workflow answers for; a
        state with another one is ignored.
    """

    def __init__(self, path: Path | None = None, fingerprint: str = "") -> None:
        self.path, self.fingerprint = path, fingerprint
        self._kept = time.monotonic()
        self._seconds = SECONDS_LOST  # that the last one took, from the copy to the file
        self._written: Future[None] | None = None
        self._writer = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for what is being written (SdorError: the disk is full)."""
        self._writer.shutdown()
        if self._written:
            self._written.result()

    @property
    def due(self) -> bool:
        """Whether the state is to be kept again."""
        if self.path is None or (self._written and not self._written.done()):
            return False
        return time.monotonic() - self._kept >= min(self._seconds / OVERHEAD, SECONDS_LOST)

    def save(self, scorer: Scorer, optimiser: torch.optim.Optimizer, done: Done) -> None:
        """Keep the state as it is now, in place of the one before; training may go on at once."""
        if self.path is None:
            return
        if self._written:
            self._written.result()
        self._kept = time.monotonic()
        # Copied on the device, in turn with what it computes: nothing waits for it here.
        state = copy.deepcopy(
            {
                "fingerprint": self.fingerprint,
                "scorer": scorer.trained_state(),
                "optimiser": optimiser.state_dict(),
                "done": vars(done),
            }
        )
        self._written = self._writer.submit(self._write, self.path, state)

    def resume(self, scorer: Scorer, optimiser: torch.optim.Optimizer) -> Done:
        """Take over the kept state, if there is one; returns what had been done by then."""
        if self.path is None or not self.path.is_file():
            return Done()
        try:
            saved = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception:  # whatever pickle and zipfile raise: damage only costs time
            saved = {"fingerprint": ""}
        if saved["fingerprint"] != self.fingerprint:
            logger.warning("%s: damaged or of other settings, training starts again", self.path)
            return Done()
        scorer.load_trained(saved["scorer"])
        optimiser.load_state_dict(saved["optimiser"])
        done = Done(**saved["done"])
        further = f" and {done.steps} steps" if done.steps else ""
        logger.info("resumed after epoch %d%s", len(done.epochs), further)
        return done

    def _write(self, path: Path, state: Mapping[str, object]) -> None:
        with atomic(path) as temporary:
            torch.save(state, temporary)
        self._seconds = time.monotonic() - self._kept


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

    Each epoch draws its batches from a generator of its own: a training that was stopped, wherever
    it was, goes on from its checkpoint and ends with the same weights.

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
    checkpoint = checkpoint or Checkpoint()
    optimiser = new_optimiser(scorer, settings, inputs.compute)
    done = checkpoint.resume(scorer, optimiser)
    for epoch in track(
        range(len(done.epochs) + 1, settings.epochs + 1), unit="epoch", label="training"
    ):
        began = time.monotonic() - done.seconds
        batches = list(epoch_batches(labels, settings, rng=np.random.default_rng([*seed, epoch])))
        with inputs.compute.repeatable(search=True):
            for loss in train_steps(scorer, inputs, batches[done.steps :], optimiser, settings):
                done.steps += 1
                done.loss = done.loss + loss  # on the device: reading it would wait for each step
                if checkpoint.due:
                    done.seconds = time.monotonic() - began
                    checkpoint.save(scorer, optimiser, done)
        mean = float(done.loss) / len(batches)
        if not math.isfinite(mean):
            raise SdorError(
                f"epoch {epoch}: the loss is {mean}; lower learning_rate "
                f"({settings.learning_rate:g}) or set precision: fp32"
            )
        took = {"epoch": epoch, "loss": mean, "seconds": time.monotonic() - began}
        done = Done([*done.epochs, took])
        logger.info("epoch %d/%d: loss %.4f", epoch, settings.epochs, mean)
        if checkpoint.due or epoch in (1, settings.epochs):
            with inputs.compute.repeatable():
                checkpoint.save(scorer, optimiser, done)
    return pd.DataFrame(done.epochs, columns=["epoch", "loss", "seconds"])


def new_optimiser(scorer: Scorer, settings: TrainingSettings, compute: Compute) -> torch.optim.SGD:
    """Stochastic gradient descent on what is trained; on a GPU, of all weights at once."""
    return torch.optim.SGD(
        [weight for weight in scorer.parameters() if weight.requires_grad],
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        fused=compute.device.type == "cuda",
    )


def train_steps(
    scorer: Scorer,
    inputs: Inputs,
    batches: Sequence[Batch],
    optimiser: torch.optim.Optimizer,
    settings: TrainingSettings,
) -> Iterator[Tensor]:
    """A step on each of some drawn batches; yields its loss, on the device."""
    compute = inputs.compute
    scorer.train_mode(batchnorm=settings.batchnorm)
    stream = inputs.batches(rows for rows, _ in batches)
    for batch, (_, targets) in zip(stream, batches, strict=True):
        wanted = torch.from_numpy(targets).to(compute.device, non_blocking=True)
        with compute.autocast():
            scores = scorer(batch)
        loss = loss_of(scores, wanted, settings)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        yield loss.detach()


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
    with Checkpoint(folder / CHECKPOINT, fingerprint) as checkpoint:
        history = train(scorer, inputs, members, settings, seed=seed, checkpoint=checkpoint)
        scores = score_rows(scorer, inputs, frames["row"].to_numpy())
    save_scorer(scorer, folder / "model.safetensors", about)
    write_parquet(folder / "history.parquet", history, {"seconds": "s", **about})
    frames = frames[["clip", "frame"]].assign(score=scores)
    write_scores(folder / "scores.parquet", frames, about)
    return history
