"""Which moments look nearly the same."""

import numpy as np

from sdor.operator.similar import look_of, near

# Two who walk on a lawn, one on a road, a crowd that runs over the lawn: what, and how fast.
LOOKS = np.array(
    [
        [1.0, 0.0, np.log1p(20)],
        [0.8, 0.6, np.log1p(25)],
        [0.0, 1.0, np.log1p(20)],
        [1.0, 0.0, np.log1p(60)],
        [np.nan, np.nan, np.nan],  # a change of the picture
        [0.8, 0.6, np.nan],  # seen in a clip's first frame alone
    ]
)


def test_what_looks_alike_and_moves_as_fast_is_nearly_equal():
    # The cosine of 1 and 2 is 0.6.
    expected = {(0, 1), (0, 5), (1, 2), (1, 5), (2, 5), (3, 5)}
    both = {tuple(sorted(pair)) for pair in np.argwhere(near(LOOKS)).tolist()}
    assert both == expected


def test_a_look_is_of_what_is_hot_and_of_its_speed():
    heat = np.zeros((2, 24, 36))
    maps = np.zeros((2, 49, 3), dtype=np.float16)
    speed = np.full((2, 24, 36), 5.0)
    # The upper left of 7 x 7 places, and what is there.
    heat[:, :3, :5], maps[:, 0], speed[:, :3, :5] = 2.0, [0, 3, 4], 40.0
    maps[:, 48] = 9
    np.testing.assert_allclose(look_of(heat, maps, speed), [0, 0.6, 0.8, np.log1p(40)], rtol=1e-5)
    assert np.isnan(look_of(heat * 0, maps, speed)).all()
    speed[0] = np.nan
    np.testing.assert_allclose(look_of(heat, maps, speed)[-1], np.log1p(40), rtol=1e-5)
