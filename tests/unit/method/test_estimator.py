"""The estimator is the method in scikit-learn's conventions, on arrays, image folders and video."""

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.utils import estimator_checks as checks
from synthetic_walkers import walkers

from sdor import SelfTrainedOrdinalRegression
from sdor.errors import SdorError
from sdor.method.answer import write_answer, write_heat
from sdor.method.flow import write_flow
from sdor.method.maps import write_place_maps
from sdor.method.motion import read_start, write_initial_motion
from sdor.method.place_labels import Looked, write_place_labels
from sdor.method.places import train_and_score_places
from sdor.method.scores import LEAST_SIZE, all_alike
from sdor.method.sources import Sources
from sdor.networks.fetch import resolve_weights
from sdor.study.config import with_defaults
from sdor.video.frames import View, store_frames
from sdor.video.store import FrameStore
from sdor.video.timeline import Timeline

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

MOTION = {
    "variant": "motion",
    "backbone": "resnet18",
    "input_size": 64,
    "weights": "random",
    "components": 16,
    "steps": 60,
    "iterations": 2,
    "clip_fps": 10,
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


def test_parameters_are_the_keys_of_both_approaches():
    ours = SelfTrainedOrdinalRegression().get_params()
    assert (ours.pop("variant"), ours.pop("clip_fps")) == ("paper", None)
    for name in ("weights", "device", "precision", "random_state"):
        del ours[name]
    # Two are of a scene file, which an estimator has not; the approach is the variant.
    keys = {**with_defaults({}, "method"), **with_defaults({}, "motion")}
    assert set(ours) == set(keys) - {"masks", "anomaly_rate", "approach"}
    assert set(ours.values()) == {None}


@pytest.mark.parametrize("variant", ["paper", "motion"])
def test_defaults_are_those_of_a_config(variant):
    settings = {"backbone": "resnet18", "weights": "random", "device": "cpu", "variant": variant}
    model = SelfTrainedOrdinalRegression(**settings)
    section = "method" if variant == "paper" else "motion"
    with pytest.raises((ValueError, SdorError)):  # too few frames: nothing is trained
        model.fit(pictures(3))
    found = model.method_.as_document()
    expected = {**with_defaults({"backbone": "resnet18"}, section)}
    assert {
        key: list(one) if isinstance(one, tuple) else one for key, one in found.items()
    } == expected


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
        ({"variant": "motoin"}, "variant: 'motoin' is not one of paper, motion"),
        ({"steps": 9}, "SelfTrainedOrdinalRegression: steps: unknown key"),
        ({"variant": "motion"}, r"SelfTrainedOrdinalRegression: \w+: unknown key"),
        ({"clip_fps": 0}, "clip_fps: 0 is no rate"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_by_name(changes, message):
    with pytest.raises(SdorError, match=message):
        SelfTrainedOrdinalRegression(**{**SMALL, **changes}).fit(pictures())


def test_in_memory_motion_trains_heads_alone():
    with pytest.raises(SdorError, match="trainable: layer4: in memory, only heads train"):
        SelfTrainedOrdinalRegression(**{**MOTION, "trainable": "layer4"}).fit(pictures())


@pytest.mark.parametrize(
    "frames",
    [pictures().astype(float), pictures()[0], pictures()[:0], np.zeros((30, 8, 8, 2), np.uint8)],
)
def test_what_is_no_array_of_pictures_is_refused(frames):
    with pytest.raises(ValueError, match=r"expected uint8 \(frames, height, width\)"):
        SelfTrainedOrdinalRegression(**SMALL).fit(frames)


def test_a_list_of_single_pictures_is_not_taken_for_clips():
    one = np.zeros((48, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="is one picture, or a clip of pictures 3 pixels wide"):
        SelfTrainedOrdinalRegression(**SMALL).fit([one] * 30)


def test_too_few_frames_are_refused():
    with pytest.raises(ValueError, match="at least 10 frames"):
        SelfTrainedOrdinalRegression(**SMALL).fit(pictures(8 + 20)[20:])


def test_scores_before_the_training_are_refused():
    with pytest.raises(NotFittedError):
        SelfTrainedOrdinalRegression().score_samples(pictures())


def moving(clips=None, **changes):
    """The approach "motion", fit to squares that walk."""
    model = SelfTrainedOrdinalRegression(**{**MOTION, **changes})
    return model.fit(walkers()[0] if clips is None else clips)


@pytest.fixture(scope="module")
def motion():
    return moving()


def test_motion_finds_who_runs(motion):
    anomalous = walkers()[1]
    scores = [motion.scores_, motion.initial_scores_, *motion.iteration_scores_]
    assert [one.shape for one in scores] == [(180,)] * 4
    assert len(motion.models_) == 2
    assert min(roc_auc_score(anomalous, one) for one in scores) > 0.98


def test_motion_scores_the_same_clip_alike(motion):
    clips, _ = walkers()
    np.testing.assert_allclose(motion.score_samples(clips), motion.scores_, atol=1e-3)
    np.testing.assert_allclose(motion.score_samples(clips[2]), motion.scores_[120:], atol=1e-3)


def test_other_video_is_measured_by_the_scene_that_was_fit(motion):
    slow = np.repeat(walkers()[0][0][:30], 2, axis=0)  # calm, at half the speed
    assert motion.score_samples(slow).max() < np.sort(motion.scores_)[-10]


def test_motion_is_found_where_it_is(motion):
    heat = motion.localise(walkers()[0][2])
    assert heat.shape == (60, 24, 36)
    assert heat.min() >= 0
    row, column = np.unravel_index(heat[32].argmax(), heat.shape[1:])
    assert abs(5 * row - 60) <= 15  # pixels from the runner's middle
    assert abs(5 * column - 69) <= 25


def test_motion_repeats_its_scores_by_its_random_state(motion):
    np.testing.assert_array_equal(moving().scores_, motion.scores_)
    other = moving(random_state=1)
    assert not np.array_equal(other.scores_, motion.scores_)
    np.testing.assert_array_equal(other.initial_scores_, motion.initial_scores_)


def test_motion_gives_the_scores_of_the_stages(motion, tmp_path):
    clips, method = walkers()[0], motion.method_
    stores = {}
    for view in ("64", "360x240-grey"):
        files = {f"clip{n}": tmp_path / view / f"clip{n}.npy" for n in (1, 2, 3)}
        for file, clip in zip(files.values(), clips, strict=True):
            store_frames(clip[..., np.newaxis], View.named(view), file)
        stores[view] = FrameStore(files)
    timeline = Timeline.of({name: np.arange(60) / 10 for name in files})
    rows, compute = timeline.sampled(method.maps.fps), motion.compute_
    resolve_weights("resnet18", "random", tmp_path / "weights.safetensors")
    flow, maps, index = (tmp_path / one for one in ("flow.parquet", "maps.npy", "initial.parquet"))
    write_flow(stores["360x240-grey"], timeline, flow, about={})
    weights, basis = tmp_path / "weights.safetensors", tmp_path / "basis.safetensors"
    write_place_maps(stores["64"], weights, rows, method.maps, (maps, basis), compute=compute)
    table = write_initial_motion(
        {"flow": flow},
        timeline,
        method.start,
        (index, tmp_path / "initial.npy"),
        fps=method.maps.fps,
        seed=0,
        about={},
    )
    np.testing.assert_allclose(table["score"], motion.initial_scores_)
    looked = Looked.read(index, timeline, method.maps.fps)
    scores, places, every = index, tmp_path / "initial.npy", []
    for t in (1, 2):
        folder = tmp_path / f"iteration{t}"
        folder.mkdir()
        labels = folder / "labels.parquet"
        both = (places, tmp_path / "initial.npy")
        write_place_labels(looked, scores, both, labels, method.labels, about={})
        train_and_score_places(
            looked,
            Sources([maps], index, weights),
            labels,
            folder,
            method.training,
            seed=[0, t],
            compute=compute,
            about={},
        )
        scores, places = folder / "scores.parquet", folder / "places.npy"
        every.append(places)
        found = pd.read_parquet(scores)["score"]
        np.testing.assert_allclose(found, motion.iteration_scores_[t - 1], rtol=1e-4)
    start = read_start(flow, timeline, method.start, index)
    output = tmp_path / "ensemble.parquet"
    answer = write_answer(
        looked, start, every, output, strongest_places=method.labels.places, about={}
    )
    np.testing.assert_allclose(answer["score"], motion.scores_, rtol=1e-4, atol=1e-4)
    write_heat(looked, start, every, output, tmp_path / "heat.npy")
    heat = np.load(tmp_path / "heat.npy")
    np.testing.assert_allclose(heat, motion.localise(clips), rtol=1e-3, atol=1e-3)


def test_video_has_its_own_times_and_the_rest_those_that_are_given(tmp_path, write_video, caplog):
    frames = walkers()[0][2]
    video = write_video(tmp_path / "gate.mkv", frames[..., np.newaxis], fps=5)
    # At half the rate, everything moves half as fast.
    small = {"steps": 5, "iterations": 1}
    from_video = moving(video, clip_fps=10, **small)
    from_array = moving(frames, clip_fps=5, **small)
    np.testing.assert_allclose(from_video.initial_scores_, from_array.initial_scores_, atol=0.05)
    assert not np.allclose(moving(frames, **small).scale_.fast, from_array.scale_.fast, rtol=0.2)
    caplog.clear()
    moving(frames, clip_fps=None, **small)
    assert "its frames have no times that rise, 10 a second taken" in caplog.text


def test_appearance_as_a_detector_scores_the_scene_alone():
    model = moving(detectors=["speed", "appearance"], steps=5, iterations=1)
    assert np.isfinite(model.scores_).all()
    with pytest.raises(SdorError, match="detectors: appearance scores the frames of `fit` alone"):
        model.score_samples(walkers()[0])


def test_nothing_stands_out_where_nothing_moves():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = moving(pictures(1).repeat(60, axis=0), steps=5)
    assert not model.initial_scores_.any()
    assert all_alike(model.scores_, LEAST_SIZE)


def test_the_papers_scores_have_no_places():
    model = SelfTrainedOrdinalRegression(**SMALL).fit(pictures())
    with pytest.raises(SdorError, match='localise needs variant="motion"'):
        model.localise(pictures())


def test_importing_the_package_brings_no_torch():
    program = "import sys, sdor; print(sorted({'torch', 'sklearn', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
