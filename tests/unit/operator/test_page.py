"""The watchlist page: everything of a moment, whatever names files have, and nothing else."""

import base64
import hashlib
import io
import re
import shlex
import subprocess
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sdor.operator.pace import duration
from sdor.operator.page import (
    Camera,
    Moment,
    NotRead,
    minute_text,
    play_command,
    watchlist_csv,
    watchlist_page,
    write_previews,
)
from sdor.operator.previews import LOOP_BYTES, PICTURE_BYTES, Span
from sdor.study.scenes import Clip

MADE = datetime(2026, 11, 27, 10, 42)
HOSTILE = "<img src=x onerror=alert(1)>'\"</script>\u202egpj.avi"
CURVE = np.stack([np.arange(0, 79, 0.1), np.sin(np.arange(0, 79, 0.1))], axis=1)
DAY = Clip("day", "video", Path("/recordings/day 1.avi"), "day 1.avi")
MOMENT = Moment(
    event="0123456789",
    rank=1,
    camera="plaza",
    clip=DAY,
    source="day 1.avi",
    kind="moment",
    group="unlike",
    begin=57.6,
    end=64.3,
    peak=60.4,
    pieces=(Span(DAY, 57.6, 64.3),),
    loop=(Span(DAY, 54.6, 64.3),),
    clock=datetime(2026, 11, 26, 13, 1, 0, 400_000),
    first=577,
    last=644,
    peak_frame=605,
    score=3.5,
    unusual=4.1,
    percentile=99.9,
    box=(0.25, 0, 0.5, 1),
    curve=CURVE,
)
CAMERAS = [Camera("plaza", 3600.0, 3, "plaza/watchlist.html"), Camera("lawn", 21.6, 1)]


class Page(HTMLParser):
    """Elements and text of a page; elements that are left open are an error."""

    EMPTY = frozenset({"meta", "img"})

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words, self.script, self.open = "", "", list[str]()
        self.feed(source)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["script"]:
            self.script += data
        if self.open and self.open[-1] not in ("style", "script"):
            self.words += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(moments, cameras=CAMERAS, not_read=(), **how):
    how = {"settings": "fps: 5", "made": MADE, "limit": 50} | how
    page = Page(watchlist_page(moments, cameras, not_read, **how))
    page.words = re.sub(r"\s+", " ", page.words)
    return page


def shown(folder: Path, jpeg: int = 0, loop: int = 1000) -> Path:
    """Files of a moment's previews, of so many bytes."""
    memory = io.BytesIO()
    Image.new("RGB", (480, 270)).save(memory, "JPEG")
    (folder / "0123456789.jpg").write_bytes(memory.getvalue().ljust(jpeg, b"\0"))
    (folder / "0123456789.mp4").write_bytes(bytes(loop))
    return folder / "0123456789.mp4"


def test_a_card_says_all_of_its_moment(tmp_path):
    page = page_of([replace(MOMENT, shown=shown(tmp_path))])
    for words in (
        "2 cameras, 1 h of video, 1 moment, 9.7 s to watch. Made 2026-11-27 10:42.",
        "plaza: 1 h, 1 moment · lawn: 22 s, nothing stands out",
        "Unlike the rest of their camera",
        "4.1 \N{MULTIPLICATION SIGN} usual spread",
        "plaza · 2026-11-26 13:01:00 · 6.7 s",
        "day 1.avi 0:57.6 \N{EN DASH} 1:04.3",
        "ffplay -ss 57.6 -t 6.7 '/recordings/day 1.avi'",
        "fps: 5",
    ):
        assert words in page.words
    assert "Highest of the ordinary" not in page.words
    (card,), (video,) = page.all("article"), page.all("video")
    assert card["tabindex"] == "0"
    assert {"muted", "loop", "playsinline"} <= video.keys()
    assert "autoplay" not in video
    assert "Moment 1 of plaza" in video["aria-label"]
    assert (video["width"], video["height"]) == ("480", "270")
    assert base64.b64decode(video["src"].partition(",")[2]) == bytes(1000)
    (svg,), (rect,) = page.all("svg"), page.all("rect")
    assert svg["aria-label"] == "Score from 0:00.0 to 1:18.9, the moment shaded"
    assert float(rect["x"]) == pytest.approx(240 * 57.6 / 78.9, abs=0.1)
    assert float(rect["width"]) == pytest.approx(240 * 6.7 / 78.9, abs=0.1)
    assert [one["href"] for one in page.all("a")] == ["watchlist.csv", "plaza/watchlist.html"]


def test_a_picture_that_changed_is_called_so_and_an_unknown_time_too(tmp_path):
    one = replace(MOMENT, kind="picture changed", clock=None, curve=None, unusual=np.nan)
    page = page_of([replace(one, group="", rank=0)], CAMERAS[:1])
    assert "The picture changed no picture can be made of it The picture changed" in page.words
    assert "The picture changed plaza \N{MIDDLE DOT} time unknown" in page.words
    assert "Highest of the ordinary" not in page.words
    assert page.all("article")[0]["aria-label"] == "Change of the picture of plaza"
    assert "usual spread" not in page.words.partition("What the numbers say")[0]
    assert "Unlike the rest of this camera Nothing stands out." in page.words
    shown(tmp_path, loop=0).unlink()
    page = page_of([replace(one, shown=tmp_path / "0123456789.mp4")])
    assert "Change of the picture of plaza: its peak frame" in page.all("img")[0]["alt"]


def test_names_are_text_and_nothing_is_loaded_from_elsewhere(tmp_path):
    clip = Clip("day", "video", tmp_path / HOSTILE, HOSTILE)
    moment = replace(MOMENT, clip=clip, source=HOSTILE, camera=HOSTILE, shown=shown(tmp_path))
    not_read = [NotRead(HOSTILE, f"{HOSTILE}\udcff", HOSTILE)]
    page = page_of([moment], [Camera(HOSTILE, 9, 1)], not_read, settings=HOSTILE)
    assert page.words.count(HOSTILE) == 6
    assert not page.all("img")
    assert len(page.all("script")) == 1
    assert not [key for _, found in page.elements for key in found if key.startswith("on")]
    loaded = [found[key] for _, found in page.elements for key in ("src", "poster") if key in found]
    assert loaded
    assert all(one.startswith("data:") for one in loaded)
    policy = page.all("meta")[1]["content"]
    assert policy.startswith("default-src 'none'")
    digest = hashlib.sha256(page.script.encode()).digest()
    assert f"unsafe-inline'; script-src 'sha256-{base64.b64encode(digest).decode()}';" in policy


def test_what_was_not_read_is_said_and_folded_where_it_is_long():
    one = NotRead("lawn", "cut.avi", "ends at 0:14.2")
    page = page_of([MOMENT], not_read=[one, one._replace(reason="damaged")])
    assert "Not looked at, or not all of it (1 of 4 files)" in page.words
    assert "lawn/cut.avi: ends at 0:14.2" in page.words
    assert "open" in page.all("details")[0]
    left = [NotRead("", "gate/3: 4.mp4", "still being written"), NotRead("", "", "passed over: x")]
    page = page_of([MOMENT], not_read=[one, *left])
    assert "Not looked at, or not all of it (2 of 5 files)" in page.words
    assert " gate/3: 4.mp4: still being written passed over: x What the numbers" in page.words
    assert "open" not in page_of([MOMENT], not_read=[one] * 30).all("details")[0]


def test_a_card_names_the_files_that_its_moment_comes_from_and_goes_on_in():
    before, after = (replace(DAY, name=one, source=f"<{one}>") for one in "bc")
    spans = Span(before, 58, 60), Span(DAY, 0, 6), Span(after, 0, 1.5)
    page = page_of([replace(MOMENT, pieces=spans, loop=(spans[0]._replace(begin=55), *spans[1:]))])
    for words in (
        "13:01:00 \N{MIDDLE DOT} 9.5 s",
        "1 moment, 12 s to watch",
        "1:04.3 begins in <b> 0:58.0 \N{EN DASH} 1:00.0 goes on in <c> 0:00.0",
    ):
        assert words in page.words


def test_nothing_stands_out():
    page = page_of([])
    assert "Nothing stands out All 1 h of video was looked at" in page.words
    assert "to watch" not in page.words
    assert not page.all("article")
    unread = Camera("plaza", 0, 2, failure="nothing of it can be read")
    words = page_of([], [unread]).words
    assert "No video could be read." in words
    assert "Nothing stands out" not in words


def test_a_camera_that_was_not_ranked_is_not_called_ordinary():
    short = CAMERAS[1]._replace(failure="too little video")
    page = page_of([], [short], [NotRead("lawn", "", "too little video")])
    assert "tands out" not in page.words
    assert "Not looked at, or not all of it lawn: too little video" in page.words
    words = page_of([], [CAMERAS[0], short]).words
    assert "plaza: 1 h, nothing stands out · lawn: 22 s, too little video" in words
    assert "All 1 h of video was looked at" in words


def test_moments_that_are_not_shown_are_counted():
    moments = [MOMENT, MOMENT, replace(MOMENT, camera="lawn")]
    page = page_of(moments, limit=2)
    assert "3 moments (2 of 3 are shown, the rest is in watchlist.csv), 19 s to watch" in page.words
    assert "plaza: 1 h, 2 moments · lawn: 22 s, 1 moment" in page.words
    assert len(page.all("article")) == 2
    assert "shown, the rest" not in page_of(moments, limit=3).words


def test_a_page_of_one_camera_leads_back():
    page = page_of([], CAMERAS[:1], table="../watchlist.csv", home="../watchlist.html")
    assert "Watchlist of plaza" in page.words
    assert [one["href"] for one in page.all("a")] == ["../watchlist.csv", "../watchlist.html"]


def test_fifty_moments_at_their_largest_are_below_ten_megabytes(tmp_path):
    largest = replace(MOMENT, shown=shown(tmp_path, PICTURE_BYTES, LOOP_BYTES))
    moments = [replace(largest, rank=1 + place) for place in range(50)]
    size = len(watchlist_page(moments, CAMERAS, [], limit=50, settings="", made=MADE))
    assert 9e6 < size < 10e6


@pytest.mark.parametrize(
    "name", ["day 1.avi", "$(id) 'it\"s` \\.avi", "-x;\n\x1b[2J\u202egpj\\'.avi"]
)
def test_a_shell_takes_the_command_as_it_is_meant(tmp_path, name):
    moment = replace(MOMENT, clip=Clip("day", "video", tmp_path / name, name), end=57.6)
    command = play_command(moment)
    assert command.isprintable()
    said = subprocess.run(
        ["bash", "-c", f"ffplay() {{ printf '%s\\0' \"$@\"; }}; {command}"],
        capture_output=True,
        check=True,
    )
    assert said.stdout.decode().split("\0")[:-1] == [
        "-ss",
        "57.6",
        "-t",
        "1.0",
        f"{tmp_path}/{name}",
    ]


def test_the_command_of_images_names_all_of_them(tmp_path):
    folder = tmp_path / "day [1] *"
    folder.mkdir()
    Image.new("L", (4, 4)).save(folder / "001.png")
    moment = replace(MOMENT, clip=Clip("day", "images", folder, "day", fps=12.5))
    words = shlex.split(play_command(moment))
    assert words[5:] == [
        *("-framerate", "12.5", "-pattern_type", "glob", "-i"),
        f"{tmp_path}/day \\[1\\] \\*/*.png",
    ]


def test_previews_are_made_once_and_their_lack_stops_nothing(tmp_path, write_video, caplog):
    frames = np.zeros((20, 48, 64, 3), np.uint8)
    whole = write_video(tmp_path / "a.mkv", frames, fps=10)
    lost = replace(MOMENT, event="f" * 10)
    clip = Clip("a", "video", whole, "a.mkv")
    there = replace(MOMENT, clip=clip, peak=1.2, loop=(Span(clip, 0, 1.5),))
    made = list(write_previews([there, lost], tmp_path / "previews"))
    assert sorted(one.name for one in (tmp_path / "previews").iterdir()) == [
        "0123456789.jpg",
        "0123456789.mp4",
    ]
    assert "moment ffffffffff is not shown: /recordings/day 1.avi" in caplog.text
    table = pd.read_csv(io.StringIO(watchlist_csv(made, tmp_path)), dtype=str)
    assert table["preview"].fillna("").tolist() == ["previews/0123456789.mp4", ""]
    assert len(page_of(made).all("video")) == 1


def test_cells_for_other_programs_are_no_formulas():
    moments = [
        replace(MOMENT, source=f"{sign}cmd|' /C calc'!A0", camera=f"{sign}1") for sign in "=+-@\t"
    ]
    kept = replace(MOMENT, kind="picture changed", box=None, clock=None, unusual=np.nan)
    words = watchlist_csv([*moments, kept], Path())
    table = pd.read_csv(io.StringIO(words), dtype=str, keep_default_na=False)
    assert not table.map(lambda cell: cell.startswith(tuple("=+-@\t"))).to_numpy().any()
    row = table.iloc[-1]
    expected = {"event": "0123456789", "rank": "1", "camera": "plaza", "source": "day 1.avi"}
    expected["path"] = "/recordings/day 1.avi"
    expected |= {"begin": "57.600", "peak": "60.400", "peak_frame": "605", "first": "577"}
    expected |= {"kind": "picture changed", "box": "", "clock": "", "unusual": ""}
    assert row[list(expected)].to_dict() == expected
    assert table["box"][0] == "0.250 0.000 0.500 1.000"
    assert table["clock"][0] == "2026-11-26T13:01:00.400"
    assert watchlist_csv([], Path()).count("\n") == 1


def test_times_are_said_as_people_say_them():
    spans = {0.8: "0.8 s", 9.96: "10 s", 59.7: "1 min", 100: "1 min 40 s", 1510: "25 min"}
    spans |= {3600: "1 h", 3599.9: "1 h", 43_500: "12 h 5 min", 0: "0.0 s"}
    assert {seconds: duration(seconds) for seconds in spans} == spans
    minutes = {0: "0:00.0", 57.6: "0:57.6", 59.97: "1:00.0", 3723.4: "1:02:03.4"}
    assert {seconds: minute_text(seconds) for seconds in minutes} == minutes
