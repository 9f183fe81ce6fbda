"""The estimator is the method in scikit-learn's conventions, on arrays, image folders and video."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_checks as checks

from sdor import SelfTrainedOrdinalRegression
from sdor.errors import SdorError
from sdor.method.scores import LEAST_SIZE, all_alike
from sdor.study.config import with_defaults

SMALL = {
    "backbone": "resnet18",
    "input_size": 32,
    "weights": "random",
    "trainable": "head",
    "iterations": 2,
    "epochs": 2,
    "batch_size": 8,
    "sp_bag_size": 4,
    "device": "cpu",
    "precision": "fp32",
    "random_state": 0,
}


def pictures(count=30):
    """Grey noise; from the 21st picture on, three are brighter."""
    frames = np.random.default_rng(0).integers(0, 100, (count, 40, 48), dtype=np.uint8)
    frames[20:23] += 120
    return frames


class OfMatrices(SelfTrainedOrdinalRegression):
    """For checks that know of matrices alone: each row is a picture of one column a number."""

    def fit(self, frames, y=None):
        grey = (40 * np.asarray(frames, dtype=float) + 128).clip(0, 255).astype(np.uint8)
        return super().fit(np.repeat(grey[:, np.newaxis, :], 32, axis=1), y)


@pytest.mark.parametrize("trainable", ["head", "layer4"])
def test_nothing_stands_out_of_identical_frames(trainable):
    frames = pictures(1).repeat(60, axis=0)
    model = SelfTrainedOrdinalRegression(**{**SMALL, "trainable": trainable}).fit(frames)
    assert not model.initial_scores_.any()
    assert all_alike(model.scores_, LEAST_SIZE)


@pytest.mark.parametrize(
    "check",
    [
        checks.check_do_not_raise_errors_in_init_or_set_params,
        checks.check_estimator_cloneable,
        checks.check_estimator_repr,
        checks.check_get_params_invariance,
        checks.check_mixin_order,
        checks.check_no_attributes_set_in_init,
        checks.check_parameters_default_constructible,
        checks.check_set_params,
        checks.check_valid_tag_types,
    ],
)
def test_parameters_are_those_of_an_estimator(check):
    check("SelfTrainedOrdinalRegression", SelfTrainedOrdinalRegression(**SMALL))


@pytest.mark.parametrize(
    "check",
    [
        checks.check_dont_overwrite_parameters,
        checks.check_estimators_fit_returns_self,
        checks.check_estimators_overwrite_params,
        checks.check_estimators_pickle,
    ],
)
def test_fitting_is_that_of_an_estimator(check):
    check("OfMatrices", OfMatrices(**SMALL))


def test_defaults_are_those_of_a_config():
    ours = SelfTrainedOrdinalRegression().get_params()
    for name in ("weights", "device", "precision", "random_state"):
        del ours[name]
    # Of a scene file, which an estimator has not.
    assert ours == {
        key: value
        for key, value in with_defaults({}, "method").items()
        if key not in ("masks", "anomaly_rate")
    }


@pytest.mark.parametrize("trainable", ["all", "layer4", "head"])
def test_frames_of_the_training_keep_their_scores(trainable):
    model = SelfTrainedOrdinalRegression(**{**SMALL, "trainable": trainable}).fit(pictures())
    assert model.scores_.shape == model.initial_scores_.shape == (30,)
    assert model.iteration_scores_.shape == (2, 30)
    np.testing.assert_allclose(model.scores_, model.iteration_scores_.mean(0), rtol=1e-6)
    np.testing.assert_allclose(model.score_samples(pictures()), model.scores_, rtol=1e-5)


def test_the_higher_the_more_anomalous():
    model = SelfTrainedOrdinalRegression(**{**SMALL, "epochs": 20}).fit(pictures())
    assert set(np.argsort(model.scores_)[-3:]) == {20, 21, 22}


def test_a_random_state_repeats_its_scores():
    def scores(random_state, **changes):
        changes = {"iterations": 3, **changes, "random_state": random_state}
        model = SelfTrainedOrdinalRegression(**{**SMALL, **changes})
        return model.fit(pictures()).scores_

    first = scores(3)
    np.testing.assert_array_equal(first, scores(np.int64(3)))
    generators = [np.random.RandomState(0) for _ in range(2)]
    np.testing.assert_array_equal(*[scores(generator) for generator in generators])
    for other in (scores(4), scores(3, restart="warm"), scores(3, labels_from="ensemble")):
        assert not np.array_equal(first, other)


def test_arrays_folders_and_video_are_the_same_frames(tmp_path, write_video):
    frames = pictures()
    for number, frame in enumerate(frames[:20], start=1):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(frame).save(tmp_path / "images" / f"{number:03d}.png")
    video = write_video(tmp_path / "rest.mkv", frames[20:, ..., np.newaxis])
    model = SelfTrainedOrdinalRegression(**SMALL)
    from_array = model.fit(frames).scores_
    from_files = model.fit([tmp_path / "images", str(video)]).scores_
    np.testing.assert_array_equal(from_files, from_array)
    coloured = np.repeat(frames[..., np.newaxis], 3, axis=3)
    np.testing.assert_array_equal(model.fit(coloured).scores_, from_array)


def test_windows_of_a_3d_network_stay_in_their_clip():
    model = SelfTrainedOrdinalRegression(**{**SMALL, "backbone": "r3d_18", "iterations": 1})
    frames = pictures()
    scores = model.fit([frames[:18], frames[18:]]).score_samples([frames[:18], frames[:12]])
    np.testing.assert_allclose(scores[:18], model.scores_[:18], rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "l3"}, r"SelfTrainedOrdinalRegression: loss: 'l3' is not one of l1, l2, focal"),
        ({"epochs": 2.5}, "epochs: 2.5 is not a whole number"),
        ({"anomalous_fraction": 0.9}, "the two sets must not overlap"),
        ({"weights": "none.pth"}, r"weights\.resnet18: none\.pth: no such file"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_by_name(changes, message):
    with pytest.raises(SdorError, match=message):
        SelfTrainedOrdinalRegression(**{**SMALL, **changes}).fit(pictures())


@pytest.mark.parametrize(
    "frames",
    [pictures().astype(float), pictures()[0], pictures()[:0], np.zeros((30, 8, 8, 2), np.uint8)],
)
def test_what_is_no_array_of_pictures_is_refused(frames):
    with pytest.raises(ValueError, match=r"expected uint8 \(frames, height, width\)"):
        SelfTrainedOrdinalRegression(**SMALL).fit(frames)


def test_too_few_frames_are_refused():
    with pytest.raises(ValueError, match="at least 10 frames"):
        SelfTrainedOrdinalRegression(**SMALL).fit(pictures(8 + 20)[20:])


def test_scores_before_the_training_are_refused():
    with pytest.raises(NotFittedError):
        SelfTrainedOrdinalRegression().score_samples(pictures())


def test_importing_the_package_brings_no_torch():
    program = "import sys, sdor; print(sorted({'torch', 'sklearn', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
