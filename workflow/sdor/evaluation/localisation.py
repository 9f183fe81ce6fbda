"""How well saliency maps say where the anomaly is, on scenes with pixel masks.

Four measures, each with an interval from resampled clips:

pixel_auc : area under the ROC curve of the pixels.
pixel_criterion : Mahadevan et al., "Anomaly Detection in Crowded Scenes" (CVPR 2010): an anomalous
    frame counts as detected when at least 40 % of its anomalous pixels are flagged, a normal frame
    with any flagged pixel is a false positive; area under the ROC curve over the thresholds.
rbdc, tbdc : region-based and track-based detection criterion of Ramachandra & Jones, "Street
    Scene" (WACV 2020): detection rate against false positive regions a frame, area from 0 to 1.

What their protocols leave open is settled thus:

- A saliency map has a few cells a side. It is brought to a working grid of at most `WORKING_SIDE`
  pixels a side, bilinearly. A mask is never thresholded there: its regions are found at source
  resolution, and each pixel of the working grid holds the *share* of its area that a region covers.
  So no region grows or vanishes, however small it is.
- A pixel is flagged when its value is at least the threshold.
- A region is an 8-connected set of pixels within a frame, the true ones in the mask, the predicted
  ones among the flagged pixels. Pieces of a mask with less than a fiftieth of its longer side
  between them are one true region. Regions are compared as sets of pixels, not as boxes. As in the
  paper, one predicted region may detect several true ones, and is a false positive when it overlaps
  none of them with an IoU of at least beta.
- A track consists of true regions that share a pixel from each frame to the next. Where two objects
  touch, they are one region, and their tracks one track.
- Low thresholds merge regions, so that neither false regions nor detections are monotone in the
  threshold. The detection rate at x false regions a frame is the best that any threshold with at
  most x attains; nothing is interpolated. Detecting all without false regions is an area of 1.
- A frame whose mask is empty is normal here, whatever its label says.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import roc_curve

from sdor.errors import SdorError
from sdor.evaluation import bootstrap
from sdor.evaluation.about import About
from sdor.evaluation.bootstrap import Measure, draw_clips, with_interval
from sdor.evaluation.metrics import BoolArray, FloatArray, IntArray, LabelledFrames, ratio
from sdor.files import read_array, read_parquet, write_json
from sdor.progress import track
from sdor.study.scenes import Clip, Ranges, Scene
from sdor.video.decode import picture_size
from sdor.video.images import read_pixel_masks

MapArray = npt.NDArray[np.float32]
LabelArray = npt.NDArray[np.integer[Any]]

MEASURES = ("pixel_auc", "pixel_criterion", "rbdc", "tbdc")
ANOMALOUS_SHARE = 0.4
ALPHA = BETA = 0.1
# Most time is spent on its pixels times the thresholds. Twice as many of either change RBDC and
# TBDC by about 0.01, a tenth of what their intervals span.
WORKING_SIDE = 128
# Of the mask's longer side: spokes of a wheel, or a lamp post in front, do not make two of one.
GAP = 0.01
REGION_THRESHOLDS = 200
PIXEL_BINS = 1000
# Values that the quantiles of the thresholds are taken from, in frames evenly spread.
SAMPLED_VALUES = 2_000_000
CURVE_POINTS = 200
# Areas on the working grid are sums of fractions such as 1/9: an exact 40 % must not fail by those.
ROUNDING = 1e-9
PROTOCOL = {
    "anomalous_share": ANOMALOUS_SHARE,
    "alpha": ALPHA,
    "beta": BETA,
    "working_side": WORKING_SIDE,
    "region_thresholds": REGION_THRESHOLDS,
    "pixel_bins": PIXEL_BINS,
}
# A true region on the working grid: the pixels (of the flattened grid) that it covers in part or
# wholly, and how much of each, 0 to 1.
Region = tuple[IntArray, FloatArray]
Curve = dict[str, list[float]]
IN_PLANE = np.array([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))], dtype=int)


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
    counts : of clips, frames, regions and tracks.
    all_clips : measure: over all clips; of training clips all frames are normal.
    test_only : the same over the test clips alone.
    curves : measure: points over all clips, joined by straight lines: false positives (a rate, or
        regions a frame) as x, hits as y.
    """

    counts: Mapping[str, int]
    all_clips: Mapping[str, Measure]
    test_only: Mapping[str, Measure]
    curves: Mapping[str, Curve]


def localise_run(
    scene: Scene,
    clips_path: str | Path,
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
    measured = localise(scene, clips, saliency, draws)
    origin = {"about": about.as_document(), "settings": {"draws": draws, **PROTOCOL}}
    write_json(output, {**origin, **asdict(measured)})
    return measured


def localise(scene: Scene, clips: pd.DataFrame, saliency: MapArray, draws: int) -> Localisation:
    """The four measures of one run.

    A clip counts when it has pixel masks or the scene file calls it normal; other clips are left
    out. Maps may be a memory map; of the masks one is in memory at a time.

    Parameters
    ----------
    clips : clip and frames (and more) of every clip, in scene order.
    saliency : (frames, rows, columns) maps of all frames of these clips, in their order.

    Raises
    ------
    SdorError : a map is not finite, or a mask is damaged, missing or not of the picture's size.
    """
    lengths = clips["frames"].to_numpy(dtype=np.int64)
    parts = np.split(saliency, np.cumsum(lengths)[:-1])
    located = [scene.clip(str(name)) for name in clips["clip"]]
    found = [_masked_clip(clip, maps) for clip, maps in zip(located, parts, strict=True)]
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
    """The four measures over clips with ground truth; see `localise`.

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
            "frames": sum(len(count.scores) for count in found),
            "anomalous_frames": sum(int(count.anomalous.sum()) for count in found),
            "regions": sum(count.regions for count in found),
            "tracks": sum(count.tracks for count in found),
        },
        _values(found, draws, "no pixel masks"),
        _values(tested, draws, "no labelled test clips" if clips else "no pixel masks"),
        _curves(found),
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
    false_regions, detected_regions, detected_tracks : (thresholds,).
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


def _masked_clip(clip: Clip, maps: MapArray) -> MaskedClip | None:
    """None where nothing tells which pixels of the clip are anomalous."""
    truth = clip.ground_truth
    if truth is None or (truth.pixel_masks is None and truth.labels != Ranges(())):
        return None
    folder = truth.pixel_masks
    size = picture_size(clip)
    masks = None if folder is None else read_pixel_masks(clip, folder, len(maps), size)
    return MaskedClip(clip.name, maps, masks, size[::-1], clip.split)


def _grid(clips: Sequence[MaskedClip]) -> _Grid:
    """Thresholds where the values are, and where a frame's first pixel is flagged.

    Quantiles of the frames' maxima sample the range from no false region to about one a frame; the
    evenly spaced thresholds are for maps of few different values.
    """
    for clip in clips:
        finite = np.isfinite(clip.maps.min(axis=(1, 2)) + clip.maps.max(axis=(1, 2)))
        if not finite.all():
            raise SdorError(
                f"saliency: clip {clip.name}, frame {int(finite.argmin()) + 1}: a value is not "
                "finite; the training may have diverged: try a lower learning rate"
            )
    lowest = min(float(clip.maps.min()) for clip in clips)
    highest = np.concatenate([clip.maps.max(axis=(1, 2)) for clip in clips])
    stride = max(1, -(-sum(clip.maps.size for clip in clips) // SAMPLED_VALUES))
    values = np.concatenate([np.ravel(clip.maps[::stride]) for clip in clips])
    limits = lowest, float(highest.max())

    def spread(count: int, *samples: MapArray) -> MapArray:
        each = count // (len(samples) + 1)
        shares = np.linspace(0, 1, each)
        quantiles = [np.quantile(sample, shares, method="nearest") for sample in samples]
        return np.unique(
            np.concatenate([np.linspace(*limits, each), *quantiles]).astype(np.float32)
        )

    return _Grid(
        regions=spread(REGION_THRESHOLDS, highest, values), pixels=spread(PIXEL_BINS, values)
    )


def _count(clip: MaskedClip, grid: _Grid) -> _Counts:
    scale = min(1.0, WORKING_SIDE / max(clip.size))
    size = [max(1, round(side * scale)) for side in clip.size]
    down, across = (_bilinear(*sides) for sides in zip(size, clip.maps.shape[1:], strict=True))
    rows, columns = (_area_weights(*sides) for sides in zip(size, clip.size, strict=True))
    pixels = np.zeros((2, len(grid.pixels) + 1))
    anomalous, scores = np.zeros(len(clip.maps), dtype=bool), np.zeros(len(clip.maps))
    false = np.zeros(len(grid.regions))
    detected: list[BoolArray] = []
    links = [np.zeros((2, 0), dtype=np.int64)]
    before: IntArray = np.zeros(clip.size, dtype=np.int64)
    masks = repeat(None, len(clip.maps)) if clip.masks is None else clip.masks
    for frame, (map_, mask) in enumerate(zip(clip.maps, masks, strict=True)):
        # The weights are of double precision, so that a flat map is still flat when rounded again.
        values = (down @ map_ @ across.T).astype(np.float32)
        numbers: IntArray = np.zeros_like(before)
        regions: list[Region] = []
        if mask is not None and mask.any():
            labels, found = _labelled(mask)
            regions = _regions(labels, found, rows, columns)
            numbers = np.where(labels, labels + len(detected), 0)
            shared = (before > 0) & (numbers > 0)
            links.append(np.unique([before[shared], numbers[shared]], axis=1) - 1)
        share = np.zeros(values.size)
        for covered, part in regions:
            share[covered] += part
        bins = np.searchsorted(grid.pixels, values.ravel(), side="right")
        for kind, weight in enumerate((1 - share, share) if regions else (None,)):
            pixels[kind] += np.bincount(bins, weight, minlength=pixels.shape[1])
        anomalous[frame] = bool(regions)
        scores[frame] = _flagged_at(values.ravel(), share) if regions else values.max()
        wrong, right = _match(values, regions, grid.regions)
        false += wrong
        detected.extend(right)
        before = numbers
    every = np.array(detected, dtype=bool).reshape(-1, len(grid.regions))
    # A track is what the links join; its regions may be found at some thresholds only.
    pairs = np.concatenate(links, axis=1)
    joined = coo_matrix((np.ones(pairs.shape[1]), pairs), shape=(len(every), len(every)))
    tracks, owner = connected_components(joined, directed=False)
    hits = np.zeros((tracks, len(grid.regions)))
    np.add.at(hits, owner, every)
    enough = hits >= ALPHA * np.bincount(owner, minlength=tracks)[:, None]
    return _Counts(
        *(pixels[0], pixels[1], anomalous, scores, false),
        *(every.sum(axis=0), enough.sum(axis=0), len(every), tracks),
    )


def _bilinear(length: int, given: int) -> FloatArray:
    """(length, given) weights that interpolate between the centres of the given pixels."""
    centres = np.clip((np.arange(length) + 0.5) * given / length - 0.5, 0, given - 1)
    weights: FloatArray = np.clip(1 - np.abs(centres[:, None] - np.arange(given)), 0, 1)
    return weights


def _area_weights(length: int, given: int) -> FloatArray:
    """(length, given) share of each new pixel that a given one covers."""
    edges = np.arange(length + 1) * given / length
    source = np.arange(given)
    overlap = np.minimum(edges[1:, None], source + 1) - np.maximum(edges[:-1, None], source)
    weights: FloatArray = np.clip(overlap, 0, None) * length / given
    return weights


def _labelled(mask: BoolArray) -> tuple[LabelArray, int]:
    """The true regions of a mask, numbered from 1: pieces next to each other are of one object."""
    gap = round(GAP * max(mask.shape))
    near = ndimage.binary_dilation(mask, IN_PLANE[1], iterations=gap) if gap else mask
    labels, found = ndimage.label(near, IN_PLANE[1])
    return labels * mask, found


def _regions(labels: LabelArray, found: int, rows: FloatArray, columns: FloatArray) -> list[Region]:
    """The regions 1 … found of a labelled mask, brought to the working grid."""
    regions: list[Region] = []
    for label, box in enumerate(ndimage.find_objects(labels, found), start=1):
        share = rows[:, box[0]] @ (labels[box] == label) @ columns[:, box[1]].T
        pixels = np.flatnonzero(share)
        regions.append((pixels, share.ravel()[pixels]))
    return regions


def _flagged_at(values: MapArray, share: FloatArray) -> float:
    """The highest threshold at which enough of the anomalous area is flagged."""
    covered = np.flatnonzero(share)
    order = covered[np.argsort(-values[covered])]
    flagged = np.cumsum(share[order])
    enough = flagged >= ANOMALOUS_SHARE * flagged[-1] * (1 - ROUNDING)
    return float(values[order[enough.argmax()]])


def _match(
    values: MapArray, regions: Sequence[Region], thresholds: MapArray
) -> tuple[IntArray, list[BoolArray]]:
    """False regions of one frame, and which true ones are detected, at every threshold.

    Returns
    -------
    (thresholds,) counts, and per true region (thresholds,).
    """
    level = np.searchsorted(thresholds, values, side="right")
    # Thresholds between two neighbouring values of the frame flag the same pixels.
    distinct = np.flatnonzero(np.bincount(level.ravel(), minlength=len(thresholds) + 1)[1:])
    labels, found = ndimage.label(level > distinct[:, None, None], IN_PLANE)
    labels = labels.reshape(len(distinct), -1)
    # Labels ascend from one threshold's plane to the next, and none of the planes is empty.
    components = np.diff(labels.max(axis=1), prepend=0)
    matched = np.zeros(found + 1, dtype=bool)
    plane = np.repeat(np.arange(len(distinct)), components)
    detected = []
    if regions:
        areas = np.bincount(labels.ravel(), minlength=found + 1)
    for pixels, share in regions:
        under = labels[:, pixels]
        both = np.bincount(
            under.ravel(), np.broadcast_to(share, under.shape).ravel(), minlength=found + 1
        )
        hit = both >= BETA * (areas + share.sum() - both) * (1 - ROUNDING)
        matched |= hit
        detected.append(np.bincount(plane[hit[1:]], minlength=len(distinct)) > 0)
    false = components - np.bincount(plane[matched[1:]], minlength=len(distinct))
    # Above the frame's highest value nothing is flagged.
    at = np.searchsorted(distinct, np.arange(len(thresholds)))
    return np.append(false, 0)[at], [np.append(hits, False)[at] for hits in detected]


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
    few = "fewer than 2 labelled clips" if len(counts) < 2 else None
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
    normal, anomalous, false, detected = _totals(counts, weights)
    wins = (anomalous * (np.cumsum(normal, axis=1) - normal / 2)).sum(axis=1)
    areas = {"pixel_auc": ratio(wins, anomalous.sum(axis=1) * normal.sum(axis=1))}
    for name, rate in detected.items():
        x, y = _best(false, rate)
        areas[name] = (y[:, :-1] * np.diff(x, axis=1)).sum(axis=1)
    return areas


def _totals(
    counts: Sequence[_Counts], weights: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, dict[str, FloatArray]]:
    """Normal and anomalous pixels by value, false regions a frame, detection rates by measure.

    All (draws, bins) or (draws, thresholds).
    """

    def total(name: str) -> FloatArray:
        summed: FloatArray = weights @ np.array([getattr(one, name) for one in counts])
        return summed

    frames = weights @ np.array([len(one.scores) for one in counts])
    detected = {
        "rbdc": ratio(total("detected_regions"), total("regions")[:, None]),
        "tbdc": ratio(total("detected_tracks"), total("tracks")[:, None]),
    }
    false = total("false_regions") / frames[:, None]
    return total("normal_pixels"), total("anomalous_pixels"), false, detected


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
        *pixels, false, detected = _totals(counts, np.ones((1, len(counts))))
        normal, anomalous = (np.append(0, np.cumsum(part[0, ::-1])) for part in pixels)
        if normal[-1] > 0:
            curves["pixel_auc"] = normal / normal[-1], anomalous / anomalous[-1]
        if not frames.anomalous.all():
            curves["pixel_criterion"] = roc_curve(frames.anomalous, scores)[:2]
        for name, rate in detected.items():
            x, y = _best(false, rate)
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
