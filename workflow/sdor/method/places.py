"""Appearance learns what motion has found, place by place: heads, and what they score."""

import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sdor.errors import SdorError
from sdor.files import About, atomic, damaged, read_array, read_parquet, write_parquet
from sdor.method.maps import MapArray, smoothed_maps
from sdor.method.motion import PLACES
from sdor.method.place_labels import Looked
from sdor.method.scores import write_scores
from sdor.networks.compute import Compute
from sdor.progress import track
from sdor.study.settings import PlaceTrainingSettings
from sdor.video.timeline import Rows

SCORED = 1 << 16  # places at a time
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


def train_and_score_places(
    looked: Looked,
    maps: Path,
    labels: Path,
    folder: Path,
    settings: PlaceTrainingSettings,
    *,
    seed: Sequence[int],
    compute: Compute,
    about: About,
) -> pd.DataFrame:
    """Train heads, score all places and frames, and write model, history, places and scores.

    Raises
    ------
    SdorError : a file is damaged, or of other frames; or the loss is not finite any more.
    """
    found = smoothed_maps(
        read_array(maps, len(looked.rows)), looked.rows, looked.timeline, looked.known
    )
    members, about = read_parquet(labels), {**about, "compute": compute.describe()}
    heads, history = train_heads(found, members, settings, seed=seed, compute=compute)
    places = score_places(heads, found, compute)
    scores = looked.spread(looked.frame_scores(places, settings.places))
    save_heads(heads, folder / "model.safetensors")
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
    optimiser = torch.optim.AdamW(heads.parameters(), lr=settings.learning_rate)
    rng = np.random.default_rng(seed)
    half = settings.batch_size // 2
    targets = torch.tensor([[1.0] * half + [0.0] * half], device=compute.device)
    flat, history = maps.reshape(-1, maps.shape[2]), list[dict[str, float]]()
    steps = np.array_split(np.arange(settings.steps), min(EPOCHS, settings.steps))
    for epoch, some in enumerate(track(steps, unit="epoch", label="heads"), start=1):
        started = time.monotonic()
        shape = (len(some), half)
        drawn = np.stack(
            [
                np.concatenate([_draw(one, shape, rng), _draw(normal, shape, rng)], 1)
                for one in sets
            ],
            axis=1,
        )
        total = 0.0
        with compute.repeatable():
            for batch in drawn:
                scores = heads(torch.from_numpy(flat[batch]).to(compute.device).float())
                loss = (scores - targets).abs().mean(dim=1).sum()  # of each head
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                total += float(loss.detach()) / len(sets)
        mean = total / len(some)
        if not math.isfinite(mean):
            raise SdorError(
                f"step {some[-1] + 1}: the loss is {mean}; lower learning_rate "
                f"({settings.learning_rate:g})"
            )
        history.append({"epoch": epoch, "loss": mean, "seconds": time.monotonic() - started})
    return heads.eval(), pd.DataFrame(history)


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


def save_heads(heads: Heads, path: Path) -> None:
    """Write the heads' weights."""
    with atomic(path) as temporary:
        save_file({name: one.contiguous() for name, one in heads.state_dict().items()}, temporary)


def load_heads(path: Path) -> Heads:
    """The heads of a file written by `save_heads` (SdorError: it is damaged)."""
    try:
        state = load_file(path)
        count, dims, hidden = state["weight"].shape
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise SdorError(damaged(path, error)) from error
    heads = Heads(dims, hidden, count, seed=[0])
    heads.load_state_dict(state)
    return heads.eval()
