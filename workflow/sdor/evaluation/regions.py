"""The regions of a saliency map at every threshold, held against the true ones of its frame.

A predicted region is an 8-connected set of pixels that are at or above a threshold. To label the
picture anew for each threshold costs its pixels times the thresholds. Here each pixel is followed
once to the peak that it rises to; two pixels are connected at a threshold exactly when their peaks
are, by steps between the pixels below them. A smooth map has few peaks, so that what depends on the
thresholds is small.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from sdor.evaluation.metrics import BoolArray, FloatArray, IntArray

MapArray = npt.NDArray[np.float32]
LabelArray = npt.NDArray[np.integer[Any]]

# How regions are compared: as sets of pixels, or as the boxes around them.
KINDS = ("", "_boxes")
BETA = 0.1
# Of the mask's longer side: spokes of a wheel, or a lamp post in front, do not make two of one.
GAP = 0.01
# Areas on a coarser grid are sums of fractions such as 1/9: an exact 10 % must not fail by those.
ROUNDING = 1e-9
TOUCHING = np.ones((3, 3), dtype=int)
# Neighbours in the order of the flattened picture: the last four come after the pixel.
NEIGHBOURS = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]


class Region(NamedTuple):
    """A true region on the grid that maps are looked at on.

    Attributes
    ----------
    pixels : of the flattened grid, those that it covers in part or wholly.
    share : how much of each, 0 to 1.
    box : top, left, bottom, right: edges in pixels of the grid, exact also where that is coarser.
    """

    pixels: IntArray
    share: FloatArray
    box: FloatArray


class _Predicted(NamedTuple):
    """All predicted regions of a frame, at every plane: a set of thresholds that flag the same.

    Attributes
    ----------
    part : (pixels,) peak x planes + the last plane in which the pixel is flagged.
    region : (peaks, planes) the number of the region that the flagged pixels of a peak are in.
    plane : (regions,) the plane of each.
    """

    part: IntArray
    region: IntArray
    plane: IntArray

    def areas(self, pixels: IntArray | slice, share: FloatArray | None = None) -> FloatArray:
        """(regions,) how much of some pixels, each of which counts by its share, is in each."""
        last = np.bincount(self.part[pixels], share, minlength=self.region.size)
        flagged = np.cumsum(last.reshape(self.region.shape)[:, ::-1], axis=1)[:, ::-1]
        return np.bincount(self.region.ravel(), flagged.ravel()).astype(float)

    def boxes(self, shape: tuple[int, int]) -> FloatArray:
        """(regions, 4) as `Region.box`."""
        rows, columns = np.indices(shape).reshape(2, -1)
        down = np.arange(rows.size)
        across = down.reshape(shape).T.ravel()
        edges = []
        sides = ((-1, down, rows), (-1, across, columns), (1, down, rows), (1, across, columns))
        for sign, order, place in sides:
            most = np.full(self.region.size, -np.inf)
            # In ascending order: of several values for one element, numpy keeps the last.
            most[self.part[order[::sign]]] = sign * place[order[::sign]]
            flagged = np.maximum.accumulate(most.reshape(self.region.shape)[:, ::-1], axis=1)
            edges.append(np.full(len(self.plane), -np.inf))
            np.maximum.at(edges[-1], self.region.ravel(), flagged[:, ::-1].ravel())
        found: FloatArray = np.stack(edges, axis=1) * (-1, -1, 1, 1) + (0, 0, 1, 1)
        return found


def true_regions(mask: BoolArray) -> tuple[LabelArray, int]:
    """The true regions of a mask, numbered from 1: pieces next to each other are of one object."""
    gap = round(GAP * max(mask.shape))
    near = ndimage.binary_dilation(mask, TOUCHING, iterations=gap) if gap else mask
    labels, found = ndimage.label(near, TOUCHING)
    return labels * mask, found


def on_grid(labels: LabelArray, found: int, rows: FloatArray, columns: FloatArray) -> list[Region]:
    """The regions 1 … found of a labelled mask, brought to a grid by its `area_weights`."""
    scale = np.divide((len(rows), len(columns)), labels.shape)
    regions = []
    for label, (down, across) in enumerate(ndimage.find_objects(labels, found), start=1):
        share = rows[:, down] @ (labels[down, across] == label) @ columns[:, across].T
        pixels = np.flatnonzero(share)
        edges = np.array([down.start, across.start, down.stop, across.stop])
        regions.append(Region(pixels, share.ravel()[pixels], edges * np.tile(scale, 2)))
    return regions


def area_weights(length: int, given: int) -> FloatArray:
    """(length, given) share of each new pixel that a given one covers."""
    edges = np.arange(length + 1) * given / length
    source = np.arange(given)
    overlap = np.minimum(edges[1:, None], source + 1) - np.maximum(edges[:-1, None], source)
    weights: FloatArray = np.clip(overlap, 0, None) * length / given
    return weights


def match(
    values: MapArray, regions: Sequence[Region], thresholds: MapArray
) -> tuple[IntArray, BoolArray]:
    """False regions of one frame, and which true ones are detected, at every threshold.

    A predicted region detects each true one that it overlaps with an IoU of at least `BETA`; it is
    false when it detects none.

    Parameters
    ----------
    thresholds : ascending; a pixel is flagged when its value is at least the threshold.

    Returns
    -------
    (kinds, thresholds) counts, and (kinds, regions, thresholds), by `KINDS`.
    """
    level = np.searchsorted(thresholds, values, side="right")
    counts = np.bincount(level.ravel())
    # Thresholds between two neighbouring values of the frame flag the same pixels.
    distinct = np.flatnonzero(counts)
    planes = len(distinct)
    predicted = _predicted(values, (np.cumsum(counts > 0) - 1)[level], planes)
    ious = np.zeros((len(KINDS), len(regions), len(predicted.plane)))
    if regions:
        areas, boxes = predicted.areas(slice(None)), predicted.boxes(values.shape)
    for number, one in enumerate(regions):
        both = predicted.areas(one.pixels, one.share)
        ious[:, number] = both / (areas + one.share.sum() - both), _box_iou(boxes, one.box)
    hit = ious >= BETA * (1 - ROUNDING)
    # Above the frame's highest value nothing is flagged: one plane more.
    false = np.zeros((len(KINDS), planes + 1), dtype=np.int64)
    detected = np.zeros((len(KINDS), len(regions), planes + 1), dtype=bool)
    for kind in range(len(KINDS)):
        wrong = predicted.plane[~hit[kind].any(axis=0)]
        false[kind, :-1] = np.bincount(wrong, minlength=planes)
        for number, its in enumerate(hit[kind]):
            detected[kind, number, predicted.plane[its]] = True
    at = np.searchsorted(distinct, np.arange(1, len(thresholds) + 1))
    return false[:, at], detected[:, :, at]


def _predicted(values: MapArray, last: IntArray, planes: int) -> _Predicted:
    """`last` : of each pixel, the last of the planes in which it is flagged."""
    peak = _peaks(values)
    own = np.zeros(peak.max() + 1, dtype=np.int64)
    np.maximum.at(own, peak.ravel(), last.ravel())
    # The highest step between each two peaks, in one number: both peaks, then the plane.
    steps = []
    for here, there in map(_pairs, NEIGHBOURS[4:]):
        one, other = peak[here], peak[there]
        apart = one != other
        one, other = one[apart], other[apart]
        plane = np.minimum(last[here][apart], last[there][apart])
        steps.append((np.minimum(one, other) * len(own) + np.maximum(one, other)) * planes + plane)
    every = np.unique(np.concatenate(steps))
    pair, plane = np.divmod(every, planes)
    highest = np.append(pair[1:] != pair[:-1], True)[: len(pair)]
    pair, upto = pair[highest], plane[highest] + 1
    # Both peaks are one region in each plane up to that step.
    plane = np.arange(upto.sum()) - np.repeat(np.cumsum(upto) - upto, upto)
    ends = [np.repeat(ends, upto) * planes + plane for ends in np.divmod(pair, len(own))]
    size = len(own) * planes
    joined = coo_matrix((np.ones(len(plane)), ends), shape=(size, size))
    labels = connected_components(joined, directed=False)[1].reshape(-1, planes)
    there = np.arange(planes) <= own[:, None]
    region = np.zeros(labels.shape, dtype=np.int64)  # Where nothing is flagged, any number is good.
    first, region[there] = np.unique(labels[there], return_index=True, return_inverse=True)[1:]
    return _Predicted((peak * planes + last).ravel(), region, np.nonzero(there)[1][first])


def _peaks(values: MapArray) -> IntArray:
    """(rows, columns) the number of the peak that each pixel rises to.

    Each goes to the highest of its neighbours, of equal ones to one that comes later.
    """
    highest, step = values.copy(), np.zeros(values.shape, dtype=np.int64)
    for neighbour in NEIGHBOURS:
        here, there = _pairs(neighbour)
        higher = np.greater if neighbour < (0, 0) else np.greater_equal
        better = higher(values[there], highest[here])
        np.copyto(highest[here], values[there], where=better)
        np.copyto(step[here], neighbour[0] * values.shape[1] + neighbour[1], where=better)
    goal = np.arange(values.size) + step.ravel()
    while (goal != (further := goal[goal])).any():
        goal = further
    number = np.cumsum(step.ravel() == 0) - 1
    peaks: IntArray = number[goal].reshape(values.shape)
    return peaks


def _pairs(step: tuple[int, int]) -> tuple[Any, Any]:
    """Slices of all pixels that have a neighbour at this step, and of these neighbours."""
    here = tuple(slice(max(0, -one), min(0, -one) or None) for one in step)
    there = tuple(slice(max(0, one), min(0, one) or None) for one in step)
    return here, there


def _box_iou(boxes: FloatArray, box: FloatArray) -> FloatArray:
    """(boxes,) their intersection over union with one."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    both = np.clip(high - low, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    iou: FloatArray = both / (areas + (box[2:] - box[:2]).prod() - both)
    return iou
