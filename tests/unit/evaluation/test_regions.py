"""Regions at every threshold against one labelling a threshold."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from sdor.evaluation.regions import area_weights, match, on_grid, true_regions

EIGHT = np.ones((3, 3), dtype=int)
SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)
PROPERTY = settings(derandomize=True, max_examples=150, deadline=None)


def box_of(region):
    rows, columns = np.nonzero(region)
    return np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])


def overlaps(a, b):
    """IoU as sets of pixels and of the boxes around them."""
    (top, left, bottom, right), other = box_of(a), box_of(b)
    tall = max(0, min(bottom, other[2]) - max(top, other[0]))
    both = tall * max(0, min(right, other[3]) - max(left, other[1]))
    areas = (bottom - top) * (right - left) + (other[2] - other[0]) * (other[3] - other[1])
    return (a & b).sum() / (a | b).sum(), both / (areas - both)


def labelled(values, mask, thresholds):
    """What `match` finds, by labelling the picture anew for each threshold."""
    true, count = ndimage.label(mask, EIGHT)
    false = np.zeros((2, len(thresholds)), dtype=int)
    detected = np.zeros((2, count, len(thresholds)), dtype=bool)
    for number, threshold in enumerate(thresholds):
        predicted, found = ndimage.label(values >= threshold, EIGHT)
        hit = np.array(
            [
                [overlaps(true == one, predicted == other) for other in range(1, found + 1)]
                for one in range(1, count + 1)
            ]
        ).reshape(count, found, 2)
        hit = hit >= 0.1
        false[:, number] = (~hit.any(axis=0)).sum(axis=0)
        detected[:, :, number] = hit.any(axis=1).T
    return false, detected


def held_to_labelling(values, mask, thresholds):
    labels, count = true_regions(mask)
    rows, columns = (area_weights(side, side) for side in mask.shape)
    found = match(values, on_grid(labels, count, rows, columns), thresholds)
    for got, expected in zip(found, labelled(values, mask, thresholds), strict=True):
        np.testing.assert_array_equal(got, expected)


@given(data=st.data(), shape=SHAPES, different=st.integers(1, 30))
@PROPERTY
def test_plateaus_corners_and_ties_are_joined_as_labelling_does(data, shape, different):
    levels = st.integers(0, different).map(np.float32)
    values = data.draw(hnp.arrays(np.float32, shape, elements=levels))
    mask = data.draw(hnp.arrays(bool, shape))
    # Also thresholds that nothing reaches, and between the values.
    held_to_labelling(values, mask, np.arange(0, different + 2, 0.5, dtype=np.float32))


@given(seed=st.integers(0, 10_000), shape=SHAPES, wide=st.floats(0, 3))
@PROPERTY
def test_smooth_maps_are_joined_as_labelling_does(seed, shape, wide):
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((2, *shape))
    smooth = ndimage.gaussian_filter(noise, (0, wide, wide)).astype(np.float32)
    thresholds = np.sort(rng.choice(smooth[0].ravel(), 12)) + np.float32(0.01) * (seed % 2)
    held_to_labelling(smooth[0], smooth[1] > 0.5 * smooth[1].std(), np.unique(thresholds))


def test_boxes_keep_their_edges_on_a_coarser_grid():
    mask = np.zeros((9, 12), dtype=bool)
    mask[1:5, 2:4] = True
    (region,) = on_grid(*true_regions(mask), area_weights(3, 9), area_weights(4, 12))
    np.testing.assert_allclose(region.box, [1 / 3, 2 / 3, 5 / 3, 4 / 3])
    assert region.share.sum() * 9 == 8
