"""How well saliency maps say where the anomaly is, on scenes with pixel masks.

Measures, each with an interval from resampled clips:

pixel_auc : area under the ROC curve of the pixels.
pixel_criterion : Mahadevan et al., "Anomaly Detection in Crowded Scenes" (CVPR 2010): an anomalous
    frame counts as detected when at least 40 % of its anomalous pixels are flagged, a normal frame
    with any flagged pixel is a false positive; area under the ROC curve over the thresholds.
rbdc, tbdc : region-based and track-based detection criterion of Ramachandra & Jones, "Street
    Scene" (WACV 2020): detection rate against false positive regions a frame, area from 0 to 1.
    Regions are compared as sets of pixels.
rbdc_boxes, tbdc_boxes : the same, where the boxes around these regions are compared. Published
    figures are of boxes.

What their protocols leave open is settled thus:

- A saliency map has a few cells a side. It is brought to the size of the picture, bilinearly, or
  to at most `WORKING_SIDE` pixels a side where that is larger. A mask is never thresholded there:
  its regions are found at source resolution, and each pixel of the grid holds the *share* of its
  area that a region covers. So no region grows or vanishes, however small it is.
- A pixel is flagged when its value is at least the threshold.
- A region is an 8-connected set of pixels within a frame, the true ones in the mask, the predicted
  ones among the flagged pixels. Pieces of a mask with less than a fiftieth of its longer side
  between them are one true region. As in the paper, one predicted region may detect several true
  ones, and is a false positive when it overlaps none of them with an IoU of at least beta.
- A track consists of true regions that share a pixel from each frame to the next. Where two objects
  touch, they are one region, and their tracks one track.
- Low thresholds merge regions, so that neither false regions nor detections are monotone in the
  threshold. The detection rate at x false regions a frame is the best that any threshold with at
  most x attains; nothing is interpolated. Detecting all without false regions is an area of 1.
- A frame whose mask is empty is normal here, whatever its label says.
- The headline is over the test clips where the scene has a split, as published figures are; beside
  it stands the value over all clips. Training clips hold no true region: quiet ones dilute the
  false regions a frame, which raises RBDC and TBDC.

Georgescu et al.'s evaluation code (github.com/lilygeorgescu/AED, commit 01ae66b), which published
figures come from, has the same alpha, beta and IoU of boxes, with these differences:

- It reads true boxes and tracks drawn by hand, an object each. UCSD's masks come without: here they
  are the boxes of the mask's regions, linked by overlap.
- Predicted boxes are read with one score each, and none is taken back: over all scores, a false one
  stays false and a found region found. Here every threshold has the regions of its own.
- Its curve is joined by straight lines from (0, 0) to one false region a frame; here it rises in
  steps.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import compress, repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import roc_curve

from sdor.errors import SdorError
from sdor.evaluation import bootstrap
from sdor.evaluation.about import About
from sdor.evaluation.bootstrap import Measure, draw_clips, with_interval
from sdor.evaluation.metrics import (
    BoolArray,
    FloatArray,
    IntArray,
    LabelledFrames,
    ratio,
    too_few,
)
from sdor.evaluation.regions import (
    BETA,
    KINDS,
    ROUNDING,
    MapArray,
    Region,
    area_weights,
    match,
    on_grid,
    true_regions,
)
from sdor.files import read_array, read_parquet, write_json
from sdor.progress import track
from sdor.study.scenes import Clip, Ranges, Scene
from sdor.video.masks import read_pixel_masks

MEASURES = ("pixel_auc", "pixel_criterion", "rbdc", "tbdc", "rbdc_boxes", "tbdc_boxes")
ANOMALOUS_SHARE = 0.4
ALPHA = 0.1
# Pixels a side: coarser grids miss small peaks. On Ped2 (360 x 240), 128 pixels gained up to 0.01
# in RBDC and TBDC with maps of 7 x 7 cells and 0.09 with 16 x 24, and 256 pixels still 0.05.
WORKING_SIDE = 512
# Twice as many change RBDC and TBDC by 0.002 at most, on these maps.
REGION_THRESHOLDS = 800
PIXEL_BINS = 1000
# Values that the quantiles of the thresholds are taken from, in frames evenly spread.
SAMPLED_VALUES = 2_000_000
CURVE_POINTS = 200
PROTOCOL = {
    "anomalous_share": ANOMALOUS_SHARE,
    "alpha": ALPHA,
    "beta": BETA,
    "working_side": WORKING_SIDE,
    "region_thresholds": REGION_THRESHOLDS,
    "pixel_bins": PIXEL_BINS,
}
Curve = dict[str, list[float]]


@dataclass(frozen=True)
class MaskedClip:
    """The saliency maps of a clip beside the ground truth of its pixels.

    Attributes
    ----------
    maps : (frames, rows, columns) the higher, the more anomalous.
    masks : per frame bool [height, width], true where it is anomalous, iterated over once; None
        when the whole clip is normal.
    size : height and width of the masks, or of the picture where there are none.
    split : "train", "test" or "" (the scene has no split).
    """

    name: str
    maps: MapArray
    masks: Iterable[BoolArray] | None
    size: tuple[int, int]
    split: str = ""


@dataclass(frozen=True)
class Localisation:
    """What `localisation.json` holds beside what it came from.

    Attributes
    ----------
    counts : of clips (also of those whose pictures are larger than the grid), frames, regions and
        tracks.
    headline : which of the two next is the one to print first: "test_only" where there are test
        clips, else "all_clips".
    all_clips : measure: over all clips; of training clips all frames are normal.
    test_only : the same over the test clips alone.
    curves : measure: points of the headline, joined by straight lines: false positives (a rate, or
        regions a frame) as x, hits as y.
    """

    counts: Mapping[str, int]
    headline: str
    all_clips: Mapping[str, Measure]
    test_only: Mapping[str, Measure]
    curves: Mapping[str, Curve]

    @property
    def printed(self) -> Mapping[str, Measure]:
        """The values of the headline."""
        return self.test_only if self.headline == "test_only" else self.all_clips


def localise_run(
    scene: Scene,
    clips_path: str | Path,
    times_path: str | Path,
    saliency_path: str | Path,
    output: str | Path,
    *,
    draws: int,
    about: About,
) -> Localisation:
    """Measure the saliency maps of one run and write its `localisation.json`.

    Raises
    ------
    SdorError : as `localise`, or a file is missing or damaged.
    """
    clips = read_parquet(clips_path)
    saliency = read_array(saliency_path, int(clips["frames"].sum()))
    measured = localise(scene, clips, read_parquet(times_path), saliency, draws)
    origin = {"about": about.as_document(), "settings": {"draws": draws, **PROTOCOL}}
    write_json(output, {**origin, **asdict(measured)})
    return measured


def localise(
    scene: Scene, clips: pd.DataFrame, times: pd.DataFrame, saliency: MapArray, draws: int
) -> Localisation:
    """All measures of one run.

    A clip counts when it has pixel masks or the scene file calls it normal; other clips are left
    out. Maps may be a memory map; of the masks one is in memory at a time.

    Parameters
    ----------
    clips : clip, width, height (pixels of the picture) of every clip, in scene order.
    times : clip, sampled (whether it is looked at) of all frames of these clips, in their order.
    saliency : (frames, rows, columns) maps of those that are looked at.

    Raises
    ------
    SdorError : a map is not finite, or a mask is damaged, missing or not of the picture's size.
    """
    sampled = [one.to_numpy(bool) for _, one in times.groupby("clip", sort=False)["sampled"]]
    parts = np.split(saliency, np.cumsum([one.sum() for one in sampled])[:-1])
    rows = zip(*(clips[column].tolist() for column in ("clip", "width", "height")), strict=True)
    found = [
        _masked_clip(scene.clip(name), maps, kept, (width, height))
        for (name, width, height), maps, kept in zip(rows, parts, sampled, strict=True)
    ]
    chosen = [clip for clip in found if clip is not None]
    masked = sum(clip.masks is not None for clip in chosen)
    if not masked:
        chosen = []
    measured = measure(chosen, draws)
    counts = {
        "clips_with_masks": masked,
        "normal_clips": len(chosen) - masked,
        "clips_left_out": len(clips) - len(chosen),
    }
    return replace(measured, counts={**counts, **measured.counts})


def measure(clips: Sequence[MaskedClip], draws: int) -> Localisation:
    """All measures over clips with ground truth; see `localise`.

    The pixel criterion is exact on the working grid, the pixel AUC up to the width of its bins,
    within which pixels count as tied (half). Regions are looked at for fixed thresholds.

    Raises
    ------
    SdorError : a value of a map is not finite; whatever iterating over the masks raises.
    """
    found: list[_Counts] = []
    if clips:
        grid = _grid(clips)
        found = [_count(clip, grid) for clip in track(clips, unit="clip", label="localisation")]
    tested = [count for clip, count in zip(clips, found, strict=True) if clip.split == "test"]
    return Localisation(
        {
            "clips_on_a_coarser_grid": sum(working_size(one.size) != one.size for one in clips),
            "frames": sum(len(count.scores) for count in found),
            "anomalous_frames": sum(int(count.anomalous.sum()) for count in found),
            "regions": sum(count.regions for count in found),
            "tracks": sum(count.tracks for count in found),
        },
        "test_only" if tested else "all_clips",
        _values(found, draws, "no pixel masks"),
        _values(tested, draws, "no labelled test clips" if clips else "no pixel masks"),
        _curves(tested or found),
    )


class _Grid(NamedTuple):
    """Ascending thresholds, the same for all clips, from the least value to the greatest."""

    regions: MapArray
    pixels: MapArray


class _Counts(NamedTuple):
    """All that the measures need to know about one clip.

    normal_pixels, anomalous_pixels : (bins,) pixels of the working grid by their value; a pixel
        that is partly anomalous counts in both.
    anomalous : (frames,) true where the mask is not empty.
    scores : (frames,) the highest threshold at which a frame counts as detected (anomalous) or as a
        false positive (normal) by the pixel criterion.
    false_regions, detected_regions, detected_tracks : (kinds, thresholds), by `regions.KINDS`.
    """

    normal_pixels: FloatArray
    anomalous_pixels: FloatArray
    anomalous: BoolArray
    scores: FloatArray
    false_regions: FloatArray
    detected_regions: IntArray
    detected_tracks: IntArray
    regions: int
    tracks: int


def _masked_clip(
    clip: Clip, maps: MapArray, sampled: BoolArray, size: tuple[int, int]
) -> MaskedClip | None:
    """None where nothing tells which pixels of the clip are anomalous."""
    truth = clip.ground_truth
    if truth is None or (truth.pixel_masks is None and truth.labels != Ranges(())):
        return None
    masks = None
    if truth.pixel_masks is not None:
        # What is to be said of them, the audit has said.
        masks = compress(read_pixel_masks(clip, truth.pixel_masks, len(sampled), size, []), sampled)
    return MaskedClip(clip.name, maps, masks, size[::-1], clip.split)


def _grid(clips: Sequence[MaskedClip]) -> _Grid:
    """Thresholds where the values are, and where a frame's first pixel is flagged.

    Quantiles of the frames' maxima sample the range from no false region to about one a frame; the
    evenly spaced thresholds are for maps of few different values, all of which are thresholds too.
    """
    for clip in clips:
        finite = np.isfinite(clip.maps.min(axis=(1, 2)) + clip.maps.max(axis=(1, 2)))
        if not finite.all():
            raise SdorError(
                f"saliency: clip {clip.name}, map {int(finite.argmin()) + 1}: a value is not "
                "finite; the training may have diverged: try a lower learning rate"
            )
    lowest = min(float(clip.maps.min()) for clip in clips)
    highest = np.concatenate([clip.maps.max(axis=(1, 2)) for clip in clips])
    stride = max(1, -(-sum(clip.maps.size for clip in clips) // SAMPLED_VALUES))
    values = np.concatenate([np.ravel(clip.maps[::stride]) for clip in clips])
    limits = lowest, float(highest.max())

    def spread(count: int, *samples: MapArray) -> MapArray:
        each = count // (len(samples) + 1)
        chosen = [np.linspace(*limits, each, dtype=np.float32)]
        for sample in samples:
            few: MapArray = np.unique(sample)
            if len(few) > each:
                few = np.quantile(sample, np.linspace(0, 1, each), method="nearest")
            chosen.append(few)
        return np.unique(np.concatenate(chosen))

    return _Grid(
        regions=spread(REGION_THRESHOLDS, highest, values), pixels=spread(PIXEL_BINS, values)
    )


def _count(clip: MaskedClip, grid: _Grid) -> _Counts:
    size = working_size(clip.size)
    down, across = (_bilinear(*sides) for sides in zip(size, clip.maps.shape[1:], strict=True))
    rows, columns = (area_weights(*sides) for sides in zip(size, clip.size, strict=True))
    pixels = np.zeros((2, len(grid.pixels) + 1))
    anomalous, scores = np.zeros(len(clip.maps), dtype=bool), np.zeros(len(clip.maps))
    false = np.zeros((len(KINDS), len(grid.regions)))
    detected = [np.zeros((len(KINDS), 0, len(grid.regions)), dtype=bool)]
    links = [np.zeros((2, 0), dtype=np.int64)]
    before: IntArray = np.zeros(clip.size, dtype=np.int64)
    seen = 0
    masks = repeat(None, len(clip.maps)) if clip.masks is None else clip.masks
    for frame, (map_, mask) in enumerate(zip(clip.maps, masks, strict=True)):
        # The weights are of double precision, so that a flat map is still flat when rounded again.
        values = (down @ map_ @ across.T).astype(np.float32)
        bins = np.searchsorted(grid.pixels, values.ravel(), side="right")
        pixels[0] += np.bincount(bins, minlength=pixels.shape[1])
        numbers: IntArray = np.zeros_like(before)
        regions: list[Region] = []
        if mask is not None and mask.any():
            labels, found = true_regions(mask)
            regions = on_grid(labels, found, rows, columns)
            numbers = np.where(labels, labels + seen, 0)
            shared = (before > 0) & (numbers > 0)
            links.append(np.unique([before[shared], numbers[shared]], axis=1) - 1)
            share = np.zeros(values.size)
            for one in regions:
                share[one.pixels] += one.share
            part = np.bincount(bins, share, minlength=pixels.shape[1])
            pixels += (-part, part)
            anomalous[frame] = True
        scores[frame] = _flagged_at(values.ravel(), share) if regions else values.max()
        wrong, right = match(values, regions, grid.regions)
        false += wrong
        detected.append(right)
        seen += len(regions)
        before = numbers
    every = np.concatenate(detected, axis=1)
    # A track is what the links join; its regions may be found at some thresholds only.
    pairs = np.concatenate(links, axis=1)
    joined = coo_matrix((np.ones(pairs.shape[1]), pairs), shape=(seen, seen))
    tracks, owner = connected_components(joined, directed=False)
    members = coo_matrix((np.ones(seen), (owner, np.arange(seen))), shape=(tracks, seen)).tocsr()
    lengths = np.bincount(owner, minlength=tracks)[:, None]
    enough = np.array([members @ hits >= ALPHA * lengths for hits in every])
    return _Counts(
        *(pixels[0], pixels[1], anomalous, scores, false),
        *(every.sum(axis=1), enough.sum(axis=1), seen, tracks),
    )


def working_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the grid that a picture's maps are looked at on."""
    scale = min(1.0, WORKING_SIDE / max(size))
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def _bilinear(length: int, given: int) -> FloatArray:
    """(length, given) weights that interpolate between the centres of the given pixels."""
    centres = np.clip((np.arange(length) + 0.5) * given / length - 0.5, 0, given - 1)
    weights: FloatArray = np.clip(1 - np.abs(centres[:, None] - np.arange(given)), 0, 1)
    return weights


def _flagged_at(values: MapArray, share: FloatArray) -> float:
    """The highest threshold at which enough of the anomalous area is flagged."""
    covered = np.flatnonzero(share)
    order = covered[np.argsort(-values[covered])]
    flagged = np.cumsum(share[order])
    enough = flagged >= ANOMALOUS_SHARE * flagged[-1] * (1 - ROUNDING)
    return float(values[order[enough.argmax()]])


def _of_frames(counts: Sequence[_Counts]) -> tuple[FloatArray, LabelledFrames]:
    """Scores of the pixel criterion and ground truth of the frames of all clips."""
    frames = LabelledFrames(
        np.repeat(np.arange(len(counts)), [len(count.scores) for count in counts]),
        np.concatenate([count.anomalous for count in counts]),
        ("",) * len(counts),
    )
    return np.concatenate([count.scores for count in counts]), frames


def _values(counts: Sequence[_Counts], draws: int, none: str) -> dict[str, Measure]:
    """Each measure with its interval; `none` says why there are no clips."""
    if not any(count.anomalous.any() for count in counts):
        return dict.fromkeys(MEASURES, Measure(reason="no anomalous frames" if counts else none))
    scores, frames = _of_frames(counts)
    weights = draw_clips(len(counts), draws)
    once, drawn = (_areas(counts, one) for one in (np.ones((1, len(counts))), weights))
    few = too_few(len(counts))
    found = {
        name: Measure(reason="no normal pixels")
        if np.isnan(value[0])
        else with_interval(float(value[0]), drawn[name], few)
        for name, value in once.items()
    }
    # A threshold at which each frame changes sides makes the area an AUC of frames.
    found["pixel_criterion"] = bootstrap.measure(scores, frames, weights)["merged"]
    return {name: found[name] for name in MEASURES}


def _areas(counts: Sequence[_Counts], weights: FloatArray) -> dict[str, FloatArray]:
    """All measures but the pixel criterion, for every draw of whole clips.

    Parameters
    ----------
    weights : (draws, clips) how often each clip was drawn.

    Returns
    -------
    measure : (draws,) values, NaN where a draw lacks what the measure needs.
    """
    normal, anomalous, rates = _totals(counts, weights)
    wins = (anomalous * (np.cumsum(normal, axis=1) - normal / 2)).sum(axis=1)
    areas = {"pixel_auc": ratio(wins, anomalous.sum(axis=1) * normal.sum(axis=1))}
    for name, rate in rates.items():
        x, y = _best(*rate)
        areas[name] = (y[:, :-1] * np.diff(x, axis=1)).sum(axis=1)
    return areas


def _totals(
    counts: Sequence[_Counts], weights: FloatArray
) -> tuple[FloatArray, FloatArray, dict[str, tuple[FloatArray, FloatArray]]]:
    """Normal and anomalous pixels by value; false regions a frame and detection rate by measure.

    All (draws, bins) or (draws, thresholds).
    """

    def total(name: str) -> FloatArray:
        every = np.array([getattr(one, name) for one in counts], dtype=float)
        summed: FloatArray = np.tensordot(weights, every, axes=1)
        return summed

    frames = weights @ np.array([len(one.scores) for one in counts])
    false = ratio(total("false_regions"), frames[:, None, None])
    rates: dict[str, tuple[FloatArray, FloatArray]] = {}
    for name, of in (("rbdc", "regions"), ("tbdc", "tracks")):
        rate = ratio(total(f"detected_{of}"), total(of)[:, None, None])
        rates |= {name + kind: (false[:, k], rate[:, k]) for k, kind in enumerate(KINDS)}
    return total("normal_pixels"), total("anomalous_pixels"), rates


def _best(false: FloatArray, detected: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Steps of the best detection rate within a budget of false regions, from 0 to 1 a frame.

    Parameters
    ----------
    false, detected : (draws, thresholds).

    Returns
    -------
    x, y : (draws, thresholds + 2) ascending; y holds from its x up to the next.
    """
    order = np.argsort(false, axis=1, kind="stable")
    x = np.clip(np.take_along_axis(false, order, axis=1), None, 1)
    within = np.where((false <= 1) | np.isnan(detected), detected, 0)
    y = np.maximum.accumulate(np.take_along_axis(within, order, axis=1), axis=1)
    nothing = np.zeros((len(x), 1))
    return (
        np.concatenate([nothing, x, nothing + 1], axis=1),
        np.concatenate([nothing, y, y[:, -1:]], axis=1),
    )


def _curves(counts: Sequence[_Counts]) -> dict[str, Curve]:
    """Points for a figure; none where a curve has no meaning."""
    curves = dict.fromkeys(MEASURES, (np.zeros(0), np.zeros(0)))
    if any(count.anomalous.any() for count in counts):
        scores, frames = _of_frames(counts)
        *pixels, rates = _totals(counts, np.ones((1, len(counts))))
        normal, anomalous = (np.append(0, np.cumsum(part[0, ::-1])) for part in pixels)
        if normal[-1] > 0:
            curves["pixel_auc"] = normal / normal[-1], anomalous / anomalous[-1]
        if not frames.anomalous.all():
            curves["pixel_criterion"] = roc_curve(frames.anomalous, scores)[:2]
        for name, rate in rates.items():
            x, y = _best(*rate)
            # Each step is drawn as two points, one above the other.
            curves[name] = (np.repeat(x[0], 2)[1:], np.repeat(y[0], 2)[:-1])
    thinned = {name: _thin(*xy) for name, xy in curves.items()}
    return {name: {"x": x.tolist(), "y": y.tolist()} for name, (x, y) in thinned.items()}


def _thin(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """At most CURVE_POINTS of a curve, without points on a straight line between others."""
    new = np.append(True, (np.diff(x) != 0) | (np.diff(y) != 0))[: len(x)]
    x, y = x[new], y[new]
    if len(x) > 2:
        bend = np.diff(x[:-1]) * np.diff(y[1:]) != np.diff(x[1:]) * np.diff(y[:-1])
        keep = np.concatenate([[True], bend, [True]])
        x, y = x[keep], y[keep]
    if len(x) <= CURVE_POINTS:
        return x, y
    chosen = np.linspace(0, len(x) - 1, CURVE_POINTS).round().astype(np.int64)
    return x[chosen], y[chosen]
