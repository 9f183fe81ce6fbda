"""Appearance learns what motion has found, place by place: heads, and what they score.

The heads start from principal components of a frozen network, or the network trains with them.
"""

import copy
import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from sdor.errors import SdorError
from sdor.files import About, atomic, read_array, read_parquet, write_parquet
from sdor.method.grid import GRID, PLACES, MapArray, smoothed_maps
from sdor.method.place_labels import Looked
from sdor.method.scorer import Scorer, save_scorer
from sdor.method.scores import write_scores
from sdor.method.sources import Sources
from sdor.networks.backbones import Backbone, load_backbone
from sdor.networks.compute import Compute
from sdor.networks.inputs import Inputs
from sdor.networks.passes import outputs
from sdor.progress import track
from sdor.study.settings import PlaceTrainingSettings
from sdor.video.timeline import Rows

SCORED = 1 << 16  # places at a time
FRAMES_SCORED = 64  # at a time, where the network trains
EPOCHS = 10  # parts of the training that the history tells of


class Heads(nn.Module):
    """eta, several times: each place's components → hidden units → a score (Eq. 6, at a place).

    Parameters
    ----------
    dims, hidden : widths. count : heads that are trained side by side, each from its own start.
    """

    def __init__(self, dims: int, hidden: int, count: int, *, seed: Sequence[int]) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(int(np.random.default_rng(seed).integers(2**62)))

        def uniform(*shape: int, width: int) -> nn.Parameter:
            values = torch.rand(shape, generator=generator)
            return nn.Parameter((2 * values - 1) * width**-0.5)

        self.weight = uniform(count, dims, hidden, width=dims)
        self.bias = uniform(count, 1, hidden, width=dims)
        self.out = uniform(count, hidden, 1, width=hidden)
        self.shift = uniform(count, 1, 1, width=hidden)

    def forward(self, places: Tensor) -> Tensor:
        """(heads, B, dims) places, or (1, B, dims) for all heads alike → (heads, B) scores."""
        hidden = torch.relu(places @ self.weight + self.bias)
        scores: Tensor = (hidden @ self.out + self.shift)[..., 0]
        return scores


class PlaceScorer(Scorer):
    """phi at every place: heads on the last maps of a backbone that trains with them.

    Parameters
    ----------
    trainable : "all" (from frames) or "layer4" (from cached trunk maps).
    hidden, count, seed : of the heads.
    """

    def __init__(
        self, backbone: Backbone, hidden: int, count: int, *, trainable: str, seed: Sequence[int]
    ) -> None:
        super().__init__(backbone, trainable=trainable)
        self.head = Heads(backbone.dims, hidden, count, seed=seed)  # type: ignore[assignment]

    def forward(self, batch: Tensor) -> Tensor:
        """(B, …) rows of what the trained part starts from → (heads, B, 49) scores, float32."""
        pooled = nn.functional.adaptive_avg_pool2d(self.last_maps(batch).float(), GRID)
        places = pooled.flatten(2).transpose(1, 2)
        with torch.autocast(places.device.type, enabled=False):
            scores: Tensor = self.head(places.flatten(0, 1)[None])
        return scores.reshape(len(scores), -1, PLACES)


def train_and_score_places(
    looked: Looked,
    sources: Sources,
    labels: Path,
    folder: Path,
    settings: PlaceTrainingSettings,
    *,
    seed: Sequence[int],
    compute: Compute,
    about: About,
) -> pd.DataFrame:
    """Train heads, score all places and frames, and write model, history, places and scores.

    Parameters
    ----------
    sources : their rows are the maps of the frames that were looked at, where heads alone train.

    Raises
    ------
    SdorError : a file is damaged, or of other frames; or the loss is not finite any more.
    """
    members, about = read_parquet(labels), {**about, "compute": compute.describe()}
    model = folder / "model.safetensors"
    if settings.trainable == "head":
        raw = read_array(sources.rows[0], len(looked.rows))
        maps = smoothed_maps(raw, looked.rows, looked.timeline, looked.known)
        heads, history = train_heads(maps, members, settings, seed=seed, compute=compute)
        places = score_places(heads, maps, compute)
        save_heads(heads, model)
    else:
        inputs, _ = sources.open(settings.trainable, compute)
        backbone = load_backbone(sources.weights)
        scorer, history = train_network(backbone, inputs, looked.rows, members, settings, seed=seed)
        places = score_network(scorer, inputs, looked.rows)
        save_scorer(scorer, model, about)
    scores = looked.spread(looked.frame_scores(places, settings.places))
    write_parquet(folder / "history.parquet", history, {"seconds": "s", **about})
    with atomic(folder / "places.npy") as temporary:
        np.save(temporary, places)
    table = looked.index[["clip", "frame"]].assign(score=scores)
    write_scores(folder / "scores.parquet", table, about)
    return history


def train_heads(
    maps: MapArray,
    labels: pd.DataFrame,
    settings: PlaceTrainingSettings,
    *,
    seed: Sequence[int],
    compute: Compute,
) -> tuple[Heads, pd.DataFrame]:
    """Minimise the ordinal regression loss (Eq. 8) over the places in A and N.

    Half of a batch is drawn from A, half from N, each head with batches of its own: there are
    `heads` for each of the shares of A.

    Parameters
    ----------
    maps : (n, 49, dims). labels : of the rows and places of the maps, as `place_labels` gives them.
    seed : numbers that every random choice follows from.

    Returns
    -------
    The heads, and a table of epoch (a tenth of the steps), loss and seconds.

    Raises
    ------
    SdorError : the loss is not finite any more.
    """
    shares = sorted(set(labels["share"]) - {-1})
    sets = [labels[labels["share"] == share] for share in shares for _ in range(settings.heads)]
    normal = labels[labels["share"] == -1]
    heads = Heads(maps.shape[2], settings.hidden_units, len(sets), seed=seed)
    heads.to(compute.device)
    rng = np.random.default_rng(seed)
    half = settings.batch_size // 2
    targets = torch.tensor([[1.0] * half + [0.0] * half], device=compute.device)
    flat = maps.reshape(-1, maps.shape[2])

    def losses(count: int) -> Iterable[Tensor]:
        shape = (count, half)
        drawn = np.stack(
            [
                np.concatenate([_draw(one, shape, rng), _draw(normal, shape, rng)], 1)
                for one in sets
            ],
            axis=1,
        )
        for batch in drawn:
            scores = heads(torch.from_numpy(flat[batch]).to(compute.device).float())
            yield (scores - targets).abs().mean(dim=1)

    return heads.eval(), _minimise(losses, heads, settings, compute)


def train_network(
    backbone: Backbone,
    inputs: Inputs,
    rows: Rows,
    labels: pd.DataFrame,
    settings: PlaceTrainingSettings,
    *,
    seed: Sequence[int],
) -> tuple[PlaceScorer, pd.DataFrame]:
    """`train_heads`, where a copy of the backbone, or its top alone, trains with the heads.

    A batch holds whole frames, as many as have `batch_size` places and at least two; half of them
    are drawn from A, half from N, by the weights of their places. All heads see the same frames;
    the loss is that of the labelled places, weighed so that it is as if places were drawn.

    Parameters
    ----------
    inputs : frames, or maps of the trunk, of the whole scene. rows : (n,) those looked at, whose
        numbers the labels tell.
    """
    count = int(labels["share"].max()) + 1  # shares of A
    members = np.zeros((count + 1, len(rows), PLACES), dtype=np.float32)  # N is the last of them
    members[labels["share"], labels["row"], labels["place"]] = labels["weight"]
    compute, half = inputs.compute, max(settings.batch_size // PLACES // 2, 1)
    shares = np.repeat(np.arange(count), settings.heads)
    scorer = PlaceScorer(
        copy.deepcopy(backbone),
        settings.hidden_units,
        len(shares),
        trainable=settings.trainable,
        seed=seed,
    )
    compute.place(scorer)
    scorer.eval()  # its few frames would be poor statistics for batch normalisation
    rng = np.random.default_rng(seed)
    targets = torch.tensor([1.0] * half + [0.0] * half, device=compute.device)[:, None]

    def losses(steps: int) -> Iterable[Tensor]:
        drawn, weights = [], []
        for side in (members[:count], members[count:]):
            chances = side.sum(axis=(0, 2), dtype=np.float64)
            chances /= chances.sum()
            some = rng.choice(len(rows), (steps, half), p=chances)
            drawn.append(some)
            each = side[:, some] / chances[some][..., np.newaxis]
            weights.append(np.broadcast_to(each, (count, *each.shape[1:])))
        batches = rows[np.concatenate(drawn, axis=1)]
        weighed = np.concatenate(weights, axis=2)[shares].astype(np.float32)
        for number, batch in enumerate(inputs.batches(batches)):
            with compute.autocast():
                scores = scorer(batch)
            weight = torch.from_numpy(weighed[:, number]).to(compute.device)
            yield ((scores - targets).abs() * weight).sum(dim=2).mean(dim=1)

    return scorer, _minimise(losses, scorer, settings, compute)


def _minimise(
    losses: Callable[[int], Iterable[Tensor]],
    network: nn.Module,
    settings: PlaceTrainingSettings,
    compute: Compute,
) -> pd.DataFrame:
    """Take all steps; returns a table of epoch, loss (mean of the heads) and seconds.

    Parameters
    ----------
    losses : gives the losses of the heads, in each of so many batches.
    """
    trained = [one for one in network.parameters() if one.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=settings.learning_rate)
    history = list[dict[str, float]]()
    steps = np.array_split(np.arange(settings.steps), min(EPOCHS, settings.steps))
    for epoch, some in enumerate(track(steps, unit="epoch", label="heads"), start=1):
        started, total = time.monotonic(), torch.zeros((), dtype=torch.float64)
        with compute.repeatable(search=True):
            for loss in losses(len(some)):
                optimiser.zero_grad(set_to_none=True)
                loss.sum().backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                # On the device: reading it would wait for each step.
                total = total.to(compute.device) + loss.detach().mean()
        mean = float(total) / len(some)
        if not math.isfinite(mean):
            raise SdorError(
                f"step {some[-1] + 1}: the loss is {mean}; lower learning_rate "
                f"({settings.learning_rate:g})"
            )
        history.append({"epoch": epoch, "loss": mean, "seconds": time.monotonic() - started})
    return pd.DataFrame(history)


def _draw(members: pd.DataFrame, shape: tuple[int, int], rng: np.random.Generator) -> Rows:
    """Numbers of places among all, drawn with replacement by their weight."""
    places = (members["row"] * PLACES + members["place"]).to_numpy()
    drawn: Rows = rng.choice(places, shape, p=members["weight"].to_numpy())
    return drawn


def score_places(heads: Heads, maps: MapArray, compute: Compute) -> NDArray[np.float32]:
    """Scores (n, 49) of all places: the mean of the heads."""
    flat = maps.reshape(-1, maps.shape[2])
    scores = np.empty(len(flat), dtype=np.float32)
    with compute.repeatable(), torch.inference_mode():
        for start in range(0, len(flat), SCORED):
            here = slice(start, start + SCORED)
            some = torch.from_numpy(np.ascontiguousarray(flat[here])).to(compute.device)
            scores[here] = heads(some.float()[None]).mean(dim=0).cpu().numpy()
    return scores.reshape(maps.shape[:2])


def score_network(scorer: PlaceScorer, inputs: Inputs, rows: Rows) -> NDArray[np.float32]:
    """Scores (n, 49) of all places of some rows of the inputs: the mean of the heads."""

    def scores(batch: Tensor) -> Tensor:
        mean: Tensor = scorer(batch).mean(dim=0)
        return mean

    return np.concatenate([*outputs(scores, inputs, rows, FRAMES_SCORED, "scores")])


def save_heads(heads: Heads, path: Path) -> None:
    """Write the heads' weights."""
    with atomic(path) as temporary:
        save_file({name: one.contiguous() for name, one in heads.state_dict().items()}, temporary)
