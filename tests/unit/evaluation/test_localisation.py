import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from sklearn.metrics import roc_auc_score
from synthetic_study import about

from sdor.errors import SdorError
from sdor.evaluation.bootstrap import draw_clips
from sdor.evaluation.localisation import MEASURES, MaskedClip, localise, localise_run, measure
from sdor.study.scenes import Clip, GroundTruth, Ranges, Scene

NORMAL = GroundTruth(Ranges(()))


def masked(maps, masks=None, name="a", size=None):
    maps = np.asarray(maps, dtype=np.float32)
    masks = None if masks is None else np.asarray(masks, dtype=bool)
    size = size or (maps if masks is None else masks).shape[1:]
    return MaskedClip(name, maps, masks, size)


def values_of(*clips, draws=0):
    cells = measure(clips, draws).all_clips
    return {name: cells[name].value for name in MEASURES}


def drawn_by_hand():
    maps, masks = np.zeros((3, 6, 8)), np.zeros((3, 6, 8), dtype=bool)
    masks[0, 0:2, 0:2] = True
    masks[1, 0:2, 1:3] = True
    masks[2, 4:6, 4:6] = True
    maps[0, 0:2, 0:2] = 3
    maps[1, 0:2, 1:3] = 1
    maps[1, 5, 7] = 2
    maps[2, 4, 4:6] = 2
    normal = np.zeros((2, 6, 8))
    normal[0, 3, 3] = 3
    normal[1, 3, 3] = 1
    return masked(maps, masks), masked(normal, name="b")


def test_a_case_worked_out_by_hand():
    # Frames a1, a2, a3 hold one region of 4 pixels each (R1, R2, R3); b1 and b2 are normal. R1 and
    # R2 overlap: tracks {R1, R2} and {R3}. Over all 5 frames:
    # threshold 3: R1 is found; false: b1                       -> 0.2 a frame, 1/3, 1/2 tracks
    # threshold 2: R1, half of R3 (IoU 0.5); false: a2, b1      -> 0.4 a frame, 2/3, 2/2
    # threshold 1: all three; false: a2, b1, b2                 -> 0.6 a frame, 3/3, 2/2
    # threshold 0: whole frames of 48 pixels, IoU 4/48 < 0.1    -> 1.0 a frame, none
    # RBDC = 0.2 * 1/3 + 0.2 * 2/3 + 0.4 * 1; TBDC = 0.2 * 1/2 + 0.6 * 1.
    # 40 % of 4 pixels are 2: a1 counts up to threshold 3, a2 up to 1, a3 up to 2; b1 is false up to
    # 3, b2 up to 1. Won of 6 pairs: a1 0.5 + 1, a2 0 + 0.5, a3 0 + 1.
    # Pixels: 12 anomalous ones against 228 normal ones, of which one is 3, one 2, one 1, 225 are 0:
    # 4 of value 3 win 227.5 each, 2 of value 2 226.5, 4 of value 1 225.5, 2 of value 0 112.5.
    measured = measure(drawn_by_hand(), draws=0)
    assert measured.counts == {
        "clips_on_a_coarser_grid": 0,
        "frames": 5,
        "anomalous_frames": 3,
        "regions": 3,
        "tracks": 2,
    }
    values = {name: cell.value for name, cell in measured.all_clips.items()}
    assert values["rbdc"] == pytest.approx(0.6)
    assert values["tbdc"] == pytest.approx(0.7)
    # Every region here is its own box.
    assert (values["rbdc_boxes"], values["tbdc_boxes"]) == pytest.approx((0.6, 0.7))
    assert values["pixel_criterion"] == pytest.approx(3 / 6)
    assert values["pixel_auc"] == pytest.approx((910 + 453 + 902 + 225) / (12 * 228))


def test_the_curves_enclose_the_areas():
    measured = measure(drawn_by_hand(), draws=0)
    assert tuple(measured.curves) == MEASURES
    for name, curve in measured.curves.items():
        area = np.trapezoid(curve["y"], curve["x"])
        assert area == pytest.approx(measured.all_clips[name].value)
    assert measured.curves["rbdc"] == {
        "x": pytest.approx([0, 0.2, 0.2, 0.4, 0.4, 0.6, 0.6, 1]),
        "y": pytest.approx([0, 0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 1, 1]),
    }


def blobs(rng, frames, size=(24, 32)):
    """Smooth random shapes, none of them in about a third of the frames."""
    noise = ndimage.gaussian_filter(rng.standard_normal((frames, *size)), (1.5, 2, 2))
    return noise > 2 * noise.std()


def test_perfect_maps_get_all_and_inverted_ones_nothing():
    masks = blobs(np.random.default_rng(0), 20)
    assert 0 < masks.any(axis=(1, 2)).sum() < 20
    normal = np.zeros((4, 24, 32))
    perfect = values_of(masked(masks, masks), masked(normal))
    assert perfect == dict.fromkeys(MEASURES, 1)
    inverted = values_of(masked(-masks.astype(float), masks), masked(normal))
    assert inverted == dict.fromkeys(MEASURES, 0)


def test_flat_maps_tell_nothing():
    masks = blobs(np.random.default_rng(0), 20, (50, 70))
    # 0.1 is no sum of powers of two: interpolated carelessly, a flat map is not flat any more.
    normal = masked(np.full((2, 4, 7), 0.1), size=(50, 70))
    values = values_of(masked(np.full((20, 4, 7), 0.1), masks), normal)
    nothing = dict.fromkeys(MEASURES, 0)
    assert values == {**nothing, "pixel_auc": 0.5, "pixel_criterion": 0.5}


def iou_of_pixels(a, b):
    return (a & b).sum() / (a | b).sum()


def iou_of_boxes(a, b):
    """By painting the boxes."""
    painted = np.zeros((2, *a.shape), dtype=bool)
    for canvas, region in zip(painted, (a, b), strict=True):
        rows, columns = np.nonzero(region)
        canvas[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    return iou_of_pixels(*painted)


def brute_force(clips, iou):
    """RBDC and TBDC by looking at every threshold, frame and pair of regions, one by one."""
    points = [(0.0, 0.0, 0.0)]
    every = np.unique(np.concatenate([clip.maps.ravel() for clip in clips]))
    for threshold in every:
        false = frames = regions = found_regions = tracks = found_tracks = 0
        for clip in clips:
            volume = np.zeros(clip.maps.shape) if clip.masks is None else clip.masks
            structure = np.zeros((3, 3, 3))
            structure[1] = 1
            structure[:, 1, 1] = 1
            track_of, count = ndimage.label(volume, structure)
            hits = [[] for _ in range(count + 1)]
            for values, mask, owner in zip(clip.maps, volume, track_of, strict=True):
                frames += 1
                predicted, n_predicted = ndimage.label(values >= threshold, np.ones((3, 3)))
                true, n_true = ndimage.label(mask, np.ones((3, 3)))
                matched = set()
                for region in range(1, n_true + 1):
                    good = set()
                    for other in range(1, n_predicted + 1):
                        if iou(true == region, predicted == other) >= 0.1:
                            good.add(other)
                    hits[owner[true == region][0]].append(bool(good))
                    matched |= good
                false += n_predicted - len(matched)
            regions += sum(len(track) for track in hits)
            found_regions += sum(sum(track) for track in hits)
            tracks += count
            found_tracks += sum(np.mean(track) >= 0.1 for track in hits if track)
        points.append((false / frames, found_regions / regions, found_tracks / tracks))
    steps = sorted({x for x, _, _ in points if x <= 1} | {1.0})
    areas = [0.0, 0.0]
    for left, right in pairwise(steps):
        for kind in (0, 1):
            best = max(point[1 + kind] for point in points if point[0] <= left)
            areas[kind] += best * (right - left)
    return areas


def random_clips(seed):
    rng = np.random.default_rng(seed)
    clips = []
    for _ in range(3):
        masks = blobs(rng, 8, (9, 12))
        # Few different values, so that every one of them is a threshold.
        noise = ndimage.gaussian_filter(rng.standard_normal(masks.shape), (0, 1, 1))
        clips.append(masked(np.round(2 * noise / noise.std() + 2 * masks), masks))
    return [*clips, masked(np.round(2 * rng.standard_normal((3, 9, 12))))]


@pytest.mark.parametrize("seed", range(6))
def test_regions_and_tracks_against_brute_force(seed):
    clips = random_clips(seed)
    measured = values_of(*clips)
    for kind, iou in (("", iou_of_pixels), ("_boxes", iou_of_boxes)):
        rbdc, tbdc = brute_force(clips, iou)
        assert 0 < rbdc < 1
        assert measured[f"rbdc{kind}"] == pytest.approx(rbdc)
        assert measured[f"tbdc{kind}"] == pytest.approx(tbdc)


@given(seed=st.integers(0, 999), bend=st.sampled_from([np.exp, np.cbrt, lambda x: 9 * x - 4]))
@settings(derandomize=True, max_examples=10, deadline=None)
def test_only_the_order_of_the_values_counts(seed, bend):
    clips = random_clips(seed)
    bent = [replace(clip, maps=bend(clip.maps).astype(np.float32)) for clip in clips]
    assert values_of(*bent) == pytest.approx(values_of(*clips))


def test_boxes_are_found_that_are_not_as_sets_of_pixels():
    """A true region is the rim of a square, the map fires inside of it: no pixel is shared."""
    masks, maps = np.zeros((1, 12, 12), dtype=bool), np.zeros((1, 12, 12))
    masks[0, 1:11, 1:11] = True
    masks[0, 2:10, 2:10] = False
    maps[0, 3:9, 3:9] = 1
    values = values_of(masked(maps, masks), masked(np.zeros((9, 12, 12))))
    # IoU of the boxes 36 / 100. The threshold 0 finds the rim with the whole frame, IoU 36 / 144.
    assert values["rbdc_boxes"] == values["tbdc_boxes"] == 1
    # The square alone is false: 1 in 10 frames. With threshold 0, nine frames are false: 0.9.
    assert values["rbdc"] == values["tbdc"] == pytest.approx(0.1)


def test_pixel_auc_against_scikit_learn_on_interpolated_maps():
    rng = np.random.default_rng(0)
    masks = blobs(rng, 30, (48, 64))
    masks[20:] = False
    reduced = masks.reshape(30, 4, 12, 4, 16).mean(axis=(2, 4))
    maps = (reduced + 0.1 * rng.standard_normal((30, 4, 4))).astype(np.float32)
    torch_maps = torch.from_numpy(maps)[:, None]
    large = torch.nn.functional.interpolate(torch_maps, (48, 64), mode="bilinear")[:, 0].numpy()
    expected = roc_auc_score(masks.ravel(), large.ravel())
    assert 0.6 < expected < 0.95
    assert values_of(masked(maps, masks))["pixel_auc"] == pytest.approx(expected, abs=1e-4)
    # Anomalous frames by their value at 40 % of the mask, normal ones by their maximum.
    scores = [
        np.sort(values[mask])[::-1][int(np.ceil(0.4 * mask.sum())) - 1]
        if mask.any()
        else values.max()
        for values, mask in zip(large, masks, strict=True)
    ]
    expected = roc_auc_score(masks.any(axis=(1, 2)), scores)
    assert 0.1 < expected < 0.95
    assert values_of(masked(maps, masks))["pixel_criterion"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("length", "found", "counts"), [(10, 1, True), (30, 3, True), (11, 1, False), (31, 3, False)]
)
def test_a_track_counts_from_a_tenth_of_its_regions_on(length, found, counts):
    masks = np.zeros((length, 12, 12), dtype=bool)
    masks[:, 2:4, 2:4] = True
    maps = masks * (np.arange(length) < found)[:, None, None]
    values = values_of(masked(maps, masks), masked(np.zeros((1, 12, 12))))
    assert values["tbdc"] == float(counts)
    assert values["rbdc"] == pytest.approx(found / length)


@pytest.mark.parametrize("drawn", [[[1]], [[0, 0, 0], [1, 1, 1], [0, 0, 0]]])
@pytest.mark.parametrize("size", [3, 6, 60])
def test_a_region_counts_from_an_iou_of_a_tenth_on(size, drawn):
    masks, maps = np.zeros((1, 32, 512), dtype=bool), np.zeros((1, 32 * 512))
    masks[0, 0, :size] = True
    flagged = round(size * np.mean(drawn) * 10)
    for more, counts in ((0, 1), (1, 0)):
        maps[0, : flagged + more] = 1
        clip = masked(maps.reshape(1, 32, 512), np.kron(masks, [drawn]))
        assert values_of(clip)["rbdc"] == counts


@pytest.mark.parametrize("drawn", [[[1]], [[0, 0, 0], [1, 1, 1], [0, 0, 0]]])
@pytest.mark.parametrize(
    ("size", "flagged", "counts"), [(5, 2, True), (10, 4, True), (60, 24, True), (7, 2, False)]
)
def test_a_frame_counts_from_40_percent_of_its_anomaly_on(size, flagged, counts, drawn):
    masks, maps = np.zeros((2, 32, 512), dtype=bool), np.zeros((2, 32, 512))
    masks[0, 1, :size] = True
    maps[0, 1, :flagged] = 1
    # The other frame's maximum lies between the flagged pixels and the others.
    maps[1, 9, 20] = 0.5
    # What each pixel of the working grid is in the mask: anomalous, or by a third of its area.
    assert values_of(masked(maps, np.kron(masks, [drawn])))["pixel_criterion"] == float(counts)


def test_a_region_may_detect_two_and_touching_corners_join():
    masks = np.zeros((2, 10, 10), dtype=bool)
    masks[0, 0:2, 0:2] = masks[0, 0:2, 4:6] = True  # two regions
    masks[1, 5, 5] = masks[1, 6, 6] = True  # one region, which overlaps neither of them
    maps = np.zeros((2, 10, 10))
    maps[0, 0:2, 0:6] = 1
    maps[1, 5, 5] = maps[1, 6, 6] = 1
    measured = measure([masked(maps, masks)], draws=0)
    assert measured.counts["regions"] == 3
    assert measured.counts["tracks"] == 3
    assert measured.all_clips["rbdc"].value == 1


def test_a_track_ends_where_its_region_is_gone():
    masks = np.zeros((5, 8, 8), dtype=bool)
    masks[[0, 1, 3, 4], 2:4, 2:4] = True
    assert measure([masked(masks, masks)], draws=0).counts["tracks"] == 2
    masks[2, 3:5, 3:5] = True
    assert measure([masked(masks, masks)], draws=0).counts["tracks"] == 1


def test_detections_beyond_one_false_region_a_frame_do_not_count():
    masks = np.zeros((1, 9, 9), dtype=bool)
    masks[0, 0, 0] = True
    maps = np.zeros((1, 9, 9))
    maps[0, 0, 0] = 1
    maps[0, 4::4, ::4] = 2  # six false regions
    measured = measure([masked(maps, masks)], draws=0)
    assert measured.all_clips["rbdc"].value == 0
    assert measured.curves["rbdc"] == {"x": [0, 1], "y": [0, 0]}


def test_masks_finer_than_the_working_grid_lose_and_win_nothing():
    masks = np.zeros((3, 800, 2048), dtype=bool)
    masks[0, 40:80, 100:140] = True
    masks[1, 17, 23] = True
    perfect = masks.reshape(3, 200, 4, 512, 4).mean(axis=(2, 4))
    perfect[1] *= 16
    measured = measure([masked(perfect, masks)], draws=0)
    assert measured.counts["regions"] == 2
    assert measured.counts["clips_on_a_coarser_grid"] == 1
    values = {name: cell.value for name, cell in measured.all_clips.items()}
    assert values["pixel_criterion"] == 1
    # The lone pixel covers a 16th of the working grid's pixel that is flagged for it, less than a
    # tenth: one false region in three frames. The other 15/16 are normal pixels, which tie with the
    # 1600 + 1 anomalous ones.
    assert values["rbdc"] == pytest.approx(1 / 2 * (1 - 1 / 3))
    assert values["tbdc"] == pytest.approx(1 / 2 * (1 - 1 / 3))
    pixels = 3 * 800 * 2048 / 16
    anomalous = 1601 / 16
    expected = 1 - (15 / 16) / 2 / (pixels - anomalous)
    assert values["pixel_auc"] == pytest.approx(expected, abs=1e-12)


def test_normal_clips_count_false_regions():
    clip, normal = drawn_by_hand()
    quiet = replace(normal, maps=np.zeros_like(normal.maps))
    assert values_of(clip, quiet)["rbdc"] > values_of(clip, normal)["rbdc"]
    assert values_of(clip, quiet)["pixel_criterion"] > values_of(clip, normal)["pixel_criterion"]


def test_intervals_are_those_of_the_clips_drawn():
    rng = np.random.default_rng(1)
    clips = []
    for _ in range(5):
        masks = blobs(rng, 6, (8, 8))
        clips.append(masked(np.round(masks + rng.random((6, 8, 8))), masks))
    chosen = np.repeat(np.arange(5), draw_clips(5, 1)[0].astype(int))
    assert len(set(chosen)) < 5
    again = values_of(*(clips[index] for index in chosen))
    cells = measure(clips, draws=1).all_clips
    for name, cell in cells.items():
        assert cell.low == cell.high == pytest.approx(again[name])
        assert cell.skipped == 0
    for cell in measure(clips, draws=200).all_clips.values():
        assert cell.low < cell.value < cell.high


def test_what_cannot_be_said_has_a_reason(monkeypatch):
    masks = np.ones((2, 4, 4), dtype=bool)
    cells = measure([masked(masks, ~masks)], draws=10).all_clips
    assert {cell.reason for cell in cells.values()} == {"no anomalous frames"}
    cells = measure([masked(masks, masks)], draws=10).all_clips
    assert cells["pixel_auc"].reason == "no normal pixels"
    assert cells["pixel_criterion"].reason == "no normal frames"
    assert cells["rbdc"].value == 1
    assert cells["rbdc"].reason == "fewer than 5 labelled clips"
    # A draw of two normal clips has nothing to be detected.
    monkeypatch.setattr("sdor.evaluation.metrics.LEAST_CLIPS", 2)
    skipped = measure([*drawn_by_hand()], draws=100).all_clips["tbdc"].skipped
    assert 10 < skipped < 40


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Clips of 4 frames of 12x8 pixels: one with masks, one normal, one of each other kind."""
    truths = {
        "Normal": NORMAL,
        "Drawn": GroundTruth(Ranges(((1, 2),)), tmp_path / "Drawn_gt"),
        "Listed": GroundTruth(Ranges(((1, 2),))),
        "Unknown": None,
    }
    clips = []
    for name, truth in truths.items():
        folder = tmp_path / name
        folder.mkdir()
        for number in range(1, 5):
            Image.new("L", (12, 8), 50).save(folder / f"{number:03d}.png")
        clips.append(Clip(name, "images", folder, source=name, ground_truth=truth))
    (tmp_path / "Drawn_gt").mkdir()
    for number, mask in enumerate(drawn_masks(), start=1):
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / f"Drawn_gt/{number}.png")
    return Scene(name="gate", root=tmp_path, clips=tuple(clips))


def drawn_masks():
    masks = np.zeros((4, 8, 12), dtype=bool)
    masks[0, 0:4, 0:4] = masks[1, 0:4, 4:8] = True
    return masks


TIMES = pd.DataFrame({"clip": np.repeat(["Normal", "Drawn", "Listed", "Unknown"], 4)})
TIMES["sampled"] = True


@pytest.fixture
def clips() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "clip": ["Normal", "Drawn", "Listed", "Unknown"],
            "frames": 4,
            "width": 12,
            "height": 8,
        }
    )


@pytest.fixture
def saliency() -> np.ndarray:
    """Perfect in the clip with masks; loud in those that must not count."""
    maps = np.zeros((16, 8, 12), dtype=np.float32)
    maps[4:8] = drawn_masks()
    maps[8:, 5, 5] = 9
    return maps


def test_a_scene_leaves_out_clips_without_masks(scene, clips, saliency):
    measured = localise(scene, clips, TIMES, saliency, draws=20)
    assert measured.counts == {
        "clips_with_masks": 1,
        "normal_clips": 1,
        "clips_left_out": 2,
        "clips_on_a_coarser_grid": 0,
        "frames": 8,
        "anomalous_frames": 2,
        "regions": 2,
        "tracks": 2,
    }
    assert [measured.all_clips[name].value for name in MEASURES] == [1] * 6
    saliency[0, 5, 5] = 2
    worse = localise(scene, clips, TIMES, saliency, draws=20).all_clips
    assert worse["rbdc"].value == pytest.approx(1 - 1 / 8)


def test_masks_of_a_sampled_clip_are_those_of_its_frames(scene, clips, saliency):
    kept = TIMES["clip"].ne("Drawn") | np.isin(np.arange(16), [5, 7])
    measured = localise(scene, clips, TIMES.assign(sampled=kept), saliency[kept], draws=0)
    assert measured.counts["anomalous_frames"] == 1
    assert measured.counts["frames"] == 6
    assert [measured.all_clips[name].value for name in MEASURES] == [1] * 6


def test_small_maps_are_laid_over_the_picture(scene, clips):
    # 2 x 3 cells of 4 x 4 pixels: the masks are one cell each.
    maps = np.zeros((16, 2, 3), dtype=np.float32)
    maps[4, 0, 0] = maps[5, 0, 1] = 1
    good = localise(scene, clips, TIMES, maps, draws=0).all_clips
    wrong = localise(scene, clips, TIMES, maps[:, ::-1, ::-1], draws=0).all_clips
    assert good["pixel_auc"].value > 0.95
    assert good["rbdc"].value == 1
    assert wrong["pixel_auc"].value < 0.6
    assert wrong["rbdc"].value < 0.6


def test_a_scene_without_masks_says_so(scene, clips, saliency):
    bare = replace(scene, clips=tuple(replace(clip, ground_truth=NORMAL) for clip in scene.clips))
    measured = localise(bare, clips, TIMES, saliency, draws=20)
    assert {cell.reason for cell in measured.all_clips.values()} == {"no pixel masks"}
    assert measured.counts["clips_left_out"] == 4
    assert measured.curves["rbdc"] == {"x": [], "y": []}


def test_masks_that_do_not_fit_are_refused(scene, clips, saliency):
    folder = scene.root / "Drawn_gt"

    def refused():
        with pytest.raises(SdorError) as error:
            localise(scene, clips, TIMES, saliency, draws=0)
        return str(error.value)

    whole = (folder / "2.png").read_bytes()
    (folder / "2.png").write_bytes(whole[:40])
    assert refused().startswith(f"clip Drawn: {folder / '2.png'}: damaged image")
    Image.new("L", (8, 12)).save(folder / "2.png")
    assert refused() == (
        f"clip Drawn: {folder / '2.png'}: expected 12x8 pixels like the clip, found 8x12"
    )
    (folder / "2.png").unlink()
    assert refused() == (
        f"clip Drawn: {folder}: no mask for a frame that is there: nothing between 1.png and 3.png"
    )


def test_maps_that_are_not_finite_are_refused(scene, clips, saliency):
    saliency[6, 2, 2] = np.nan
    with pytest.raises(SdorError, match="clip Drawn, map 3: a value is not finite"):
        localise(scene, clips, TIMES, saliency, draws=0)


def test_a_run_writes_its_file(scene, clips, saliency, tmp_path):
    clips.to_parquet(tmp_path / "clips.parquet")
    TIMES.to_parquet(tmp_path / "times.parquet")
    np.save(tmp_path / "saliency.npy", saliency)
    output = tmp_path / "run" / "localisation.json"

    def run():
        localise_run(
            scene,
            tmp_path / "clips.parquet",
            tmp_path / "times.parquet",
            tmp_path / "saliency.npy",
            output,
            draws=20,
            about=about("gate"),
        )

    run()
    written = json.loads(output.read_text())
    assert list(written) == [
        *("about", "settings", "counts", "headline", "all_clips", "test_only", "curves")
    ]
    assert written["settings"]["working_side"] == 512
    assert written["about"]["scene"] == "gate"
    assert written["settings"]["draws"] == 20
    assert written["all_clips"]["tbdc"]["value"] == 1
    np.save(tmp_path / "saliency.npy", saliency[1:])
    with pytest.raises(SdorError, match=r"saliency\.npy: .*expected 16 rows, as its table has"):
        run()
    (tmp_path / "saliency.npy").write_bytes(b"half a file")
    with pytest.raises(SdorError, match=r"saliency\.npy: damaged or missing file"):
        run()


@pytest.mark.parametrize(("gap", "regions"), [(3, 1), (8, 2)])
def test_pieces_of_one_object_are_one_region(gap, regions):
    """On masks of 240 pixels a gap of three is a spoke, one of eight lies between two objects."""
    masks = np.zeros((1, 160, 240), dtype=bool)
    masks[0, 50:80, 60:90] = True
    masks[0, 50:80, 90 + gap : 120 + gap] = True
    counts = measure([masked(masks, masks)], draws=0).counts
    assert (counts["regions"], counts["tracks"]) == (regions, regions)


def test_test_clips_are_also_judged_alone():
    """A training clip whose map is high everywhere spoils the whole, not the test clips."""
    masks = np.zeros((4, 8, 8), dtype=bool)
    masks[1, 2:5, 2:5] = True
    test = MaskedClip("test", masks.astype(np.float32), masks, (8, 8), "test")
    train = MaskedClip("train", np.full((4, 8, 8), 2, np.float32), None, (8, 8), "train")
    measured = measure([train, test], draws=0)
    assert measured.test_only["pixel_auc"].value == pytest.approx(1.0)
    assert measured.all_clips["pixel_auc"].value < 0.6
    assert measured.headline == "test_only"
    assert measured.curves["pixel_auc"] == measure([test], draws=0).curves["pixel_auc"]
    assert measure([replace(test, split="")], draws=0).headline == "all_clips"
    alone = measure([train], draws=0)
    assert alone.test_only["rbdc"].reason == "no labelled test clips"
