"""When a recording was made, and which recordings are one time line."""

import math
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from sdor.video.clock import clock_of, stretches

ONE = datetime(2026, 11, 26, 13)  # o'clock


@pytest.fixture(autouse=True)
def _berlin(monkeypatch):
    """An hour before Universal Time in winter, two in summer."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "name",
    [
        "2026-11-26_13-00-00.mp4",
        "gate_2026-11-26T13:00:00.mkv",
        "20261126T130000.mp4",
        "20261126T120000Z.mp4",
        "20261126-130000.mp4",
        "20261126130000.avi",
        "2026_1126_130000_001.MP4",
        "2026-11-26 at 13.00.00.mov",
        "2026-11-26 - 13.00.mov",
        "2026-11-26_13h00m00.mov",
        "RecM01_20261126_130000_130015_6D28808_1A2B3C.mp4",  # Reolink
        "RecM02_DST20261126_130000_130015_0_1A2B.mp4",
        "192.168.1.64_01_20261126130000123_MOTION_DETECTION.mp4",  # Hikvision
        "NVR_ch1_main_20261126130000_20261126131000.dav",  # Dahua
        "2026-11-26/001/dav/13/13.00.00-13.05.00[M][0@0][0].dav",
        "gate-20261126-130000-1795694400123-1.mp4",  # Synology
        "2026-11-26/13-00-00.mp4",  # motionEye
        "2026-11-26/13/00.00.mp4",
        "2026-11-26/12/gate/00.00.mp4",  # Frigate, in Universal Time
        "2026-11/26/13/gate/00.00.mp4",  # its first versions
        "gate-1795694400.123456-abcdef.mp4",
        "1795694400123.mp4",
        "2026112613/00M00S_1795694400.mp4",
        "2026112613/00M00S.mp4",
        "2026/11/26/13/00.mp4",
        "20261126AM/13.00.mp4",
    ],
)
def test_a_name_tells_the_time(name):
    elsewhere = {"creation_time": "2026-11-30T09:00:00Z"}
    assert clock_of(Path("/mnt/2019-01-01/disk") / name, elsewhere) == ONE


@pytest.mark.parametrize(
    "name",
    [
        "2026-11-26.avi",
        "2026-11-26_13.avi",
        "2026-11-26_1300.avi",
        "2026-11-26/0001.mp4",
        "2026-11-26/130000.mp4",  # or a file's number
        "2026-11-26/10.20.30.40.mp4",
        "20261126250000.avi",
        "20261326_130000.avi",
        "1970-01-01_00-00-10.mp4",
        "2000-01-01_00-00-10.mp4",
        "2096-01-01_00-00-10.mp4",
        "seq01_scene1.avi",
        "05.12.mp4",
        "120261126130000.avi",
        "7795694400.avi",
    ],
)
def test_else_the_container_does(name):
    assert clock_of(Path(name), {}) is None
    told = {"encoder": "x", "creation_time": "2026-11-26T12:00:00.000000Z"}
    assert clock_of(Path(name), told) == ONE


@pytest.mark.parametrize(
    ("told", "when"),
    [
        ("2026-11-26T12:00:00", ONE),
        ("2026-11-26 12:00:00", ONE),
        ("2026-11-26T15:00:00+0300", ONE),
        ("2026-07-01T12:00:00Z", datetime(2026, 7, 1, 14)),
        ("1904-01-01T00:00:00.000000Z", None),
        ("1970-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00Z", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_container_tells_universal_time_and_is_doubted(told, when):
    assert clock_of(Path("a.mp4"), {"creation_time": told}) == when


def test_a_container_of_another_day_than_the_name_is_a_copys():
    told = {"creation_time": "2026-11-30T09:00:00Z"}
    assert clock_of(Path("2026-11-26.avi"), told) is None
    assert clock_of(Path("2026-11-29.avi"), told) == datetime(2026, 11, 30, 10)


def at(*seconds: float | None) -> list[datetime | None]:
    return [None if it is None else ONE + timedelta(seconds=it) for it in seconds]


def test_clips_adjoin_by_the_clock_whatever_their_order():
    clocks = at(120, 0, 60, 200, 262.5)
    found = stretches(clocks, [60, 60, 60, 60, 10], [0] * 5)
    # 2.5 s after the end of the fourth is another stretch; 20 s after the first, too.
    assert found == [(0, 120), (0, 0), (0, 60), (1, 0), (2, 0)]


def test_a_stretch_follows_the_clock_and_no_clip_overlaps():
    # Clocks tell whole seconds, and clips last a little longer or shorter.
    seconds = [60.04, 60.04, 59.5, 60.0]
    found = stretches(at(0, 60, 121, 181), seconds, [0] * 4)
    assert [stretch for stretch, _ in found] == [0] * 4
    assert [offset for _, offset in found] == pytest.approx([0, 60.04, 121, 181])
    day = stretches(at(*range(0, 86400, 60)), [60.04] * 1440, [0] * 1440)
    assert day[-1] == pytest.approx((0, 1439 * 60.04))


def test_two_streams_at_a_time_are_two_stretches():
    found = stretches(at(0, 0, 60, 60, 120), [60, 59, 60, 59, 60], [0] * 5)
    assert found == [(0, 0), (1, 0), (0, 60), (1, 60), (0, 120)]
    # A second of video each, at one time, does not go on with the other.
    assert stretches(at(0, 0), [1, 1], [0, 0]) == [(0, 0), (1, 0)]


def test_without_clocks_timestamps_that_go_on_tell():
    found = stretches([None] * 4, [60, 60, 60, 60], [1.4, 61.4, 121.4, 1.4])
    assert found == [(0, 0), (0, 60), (0, 120), (1, 0)]
    # Most begin anew in each file, however short.
    assert stretches([None] * 3, [60, 0.3, 0.3], [0.0] * 3) == [(0, 0), (1, 0), (2, 0)]
    assert stretches([None] * 2, [60, 60], [0.0, 61.0]) == [(0, 0), (1, 0)]


def test_clips_without_a_clock_come_last_and_what_cannot_be_read_is_alone():
    found = stretches(at(None, 60, None, 0), [60, 60, 60, 60], [0.0, 0.0, 60.0, 0.0])
    assert found == [(1, 0), (0, 60), (1, 60), (0, 0)]
    found = stretches(at(0, 30, 60), [0, math.nan, 60], [0.0, math.nan, 0.0])
    assert found == [(0, 0), (1, 0), (2, 0)]
    assert stretches([], [], []) == []


def test_many_clips_take_no_time():
    began = time.process_time()
    found = stretches(at(*range(0, 10 * 20000, 10)), [5.0] * 20000, [0.0] * 20000)
    assert found[-1] == (19999, 0)
    assert time.process_time() - began < 2
