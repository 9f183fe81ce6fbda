"""The paper's method on one page: self-trained deep ordinal regression (section 3), in memory.

Below it, the same loop where motion starts and appearance learns, place by place. The workflow runs
the same functions as stages, with files in between.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sdor.errors import SdorError
from sdor.method.answer import answer
from sdor.method.features import frame_features, trunk_maps
from sdor.method.grid import MapArray, smoothed_maps
from sdor.method.initial import initial_scores
from sdor.method.motion import Start
from sdor.method.place_labels import Looked, place_labels
from sdor.method.places import Heads, score_places, train_heads
from sdor.method.pseudo_labels import pseudo_labels
from sdor.method.scorer import Scorer, new_scorer
from sdor.method.scores import FloatArray, mean_of
from sdor.method.training import score_rows, train
from sdor.method.units import Units
from sdor.networks.backbones import Backbone
from sdor.networks.compute import Compute
from sdor.networks.inputs import Inputs
from sdor.study.settings import Method, MotionMethod


@dataclass(frozen=True)
class SelfTraining:
    """What the iterations leave; of all scores (frames,), the higher, the more anomalous."""

    scores: FloatArray  # the answer: the mean of all iterations (Eq. 9)
    initial: FloatArray  # what the first pseudo labels come from
    iterations: list[FloatArray]  # of phi_1 … phi_T, in float32
    models: list[Scorer]  # phi_1 … phi_T


def self_train(frames: Inputs, backbone: Backbone, method: Method, *, seed: int) -> SelfTraining:
    """Score the frames of one scene by how anomalous they are, without any label.

    Parameters
    ----------
    frames : all frames x of the scene, as the backbone looks at them.
    backbone : psi with its ImageNet weights, on the device of the frames; it stays as it is.
    seed : every random choice follows from it.

    Raises
    ------
    ValueError : too few frames for the initial scores, or for the pseudo labels.
    SdorError : the loss is not finite any more, or the GPU has too little memory.
    """
    z = np.concatenate([*frame_features(backbone, frames, method.features)])
    x = training_inputs(frames, backbone, method, pooled=z if method.features == "pool" else None)

    initial = scores = initial_scores(z, method.initial, seed=seed)["score"].to_numpy()
    models: list[Scorer] = []
    iterations: list[FloatArray] = []
    for t in range(1, method.iterations + 1):
        labels = pseudo_labels(scores, method.labels)  # A and N replace those before
        phi = new_scorer(backbone, method.training, seed=[seed, t])
        frames.compute.place(phi)
        if models and method.restart == "warm":
            phi.load_trained(models[-1].trained_state())
        train(phi, x, labels, method.training, seed=[seed, t])
        models.append(phi)
        iterations.append(score_rows(phi, x))
        scores = iterations[-1] if method.labels_from == "last" else mean_of(iterations)
    return SelfTraining(mean_of(iterations), initial, iterations, models)


@dataclass(frozen=True)
class PlaceTraining:
    """What the iterations of the approach "motion" leave.

    Attributes
    ----------
    table : see `answer`; its score is the answer. initial : what learning started from.
    iterations : of each, (n,) scores of the frames that were looked at. places : (n, 49).
    models : the heads of each. units : the scales of motion and of appearance.
    """

    table: pd.DataFrame
    initial: Start
    iterations: list[FloatArray]
    places: list[FloatArray]
    models: list[Heads]
    units: tuple[Units, Units]


def self_train_places(
    maps: MapArray,
    start: Start,
    looked: Looked,
    method: MotionMethod,
    *,
    seed: int,
    compute: Compute,
) -> PlaceTraining:
    """The same loop with another start, another unit and another head.

    Motion says where to look first; what the places there look like is learnt across the view, and
    finds what motion missed.

    Parameters
    ----------
    maps : (n, 49, dims) of the frames that the network looked at.
    start : of the same scene.

    Raises
    ------
    SdorError : more than the heads is to train; or the loss is not finite any more.
    ValueError : too few frames for the pseudo labels.
    """
    if method.training.trainable != "head":
        raise SdorError(
            f"trainable: {method.training.trainable}: in memory, only heads train from maps; set "
            "trainable: head, or run the workflow"
        )
    maps = smoothed_maps(maps, looked.rows, looked.timeline, looked.known)
    places, moving = np.moveaxis(start.places(looked.rows), 2, 0)
    scores = start.score[looked.rows]
    iterations, every, models = list[FloatArray](), list[FloatArray](), list[Heads]()
    for t in range(1, method.iterations + 1):
        labels = place_labels(scores, places, moving, method.labels, looked.known)
        heads, _ = train_heads(maps, labels, method.training, seed=[seed, t], compute=compute)
        places = score_places(heads, maps, compute)
        scores = looked.frame_scores(places, method.labels.places)
        models.append(heads)
        every.append(places)
        iterations.append(scores)
    table, units = answer(start, iterations, every, looked)
    return PlaceTraining(table, start, iterations, every, models, units)


def training_inputs(
    frames: Inputs, backbone: Backbone, method: Method, *, pooled: FloatArray | None = None
) -> Inputs:
    """What phi starts from: frames, maps of the frozen trunk, or pooled features, held in memory.

    Parameters
    ----------
    pooled : (frames, dims) the pooled features, where they are known already.
    """
    if method.training.trainable == "all":
        return frames
    if method.training.trainable == "layer4":
        return Inputs(np.concatenate([*trunk_maps(backbone, frames)]), frames.compute)
    if pooled is None:
        pooled = np.concatenate([*frame_features(backbone, frames)])
    return Inputs(pooled, frames.compute)
