"""The page on which moments are marked, in a real browser, by its keys."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from synthetic_watch import HOSTILE, events_of, served, write_camera, write_list

from sdor.operator.review.run import Command, Run

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
if not CHROMIUM:
    pytest.skip("there is no chromium (apt install chromium)", allow_module_level=True)
FIRST, SECOND, THIRD, FOURTH, FIFTH = (f"{place:010x}" for place in range(1, 6))
SAVED = 100  # ms that a key may take until it is saved and shown

# Milliseconds from a key until the next moment is shown, which is when the mark is saved.
NOTE = """() => {
  window.took = [];
  addEventListener("keydown", () => {
    const begin = performance.now();
    const shown = () => took.push(Math.round(performance.now() - begin));
    const watching = new MutationObserver(() => {
      watching.disconnect();
      requestAnimationFrame(shown);
    });
    watching.observe(document.getElementById("title"), { childList: true });
  }, true);
}"""


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as driver:
        # Root has no sandbox there.
        arguments = ["--no-sandbox"] * (os.getuid() == 0)
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def tabs(chromium):
    """Opens tabs in which no script fails, and nothing is refused by the page's own policy."""
    context, faults = chromium.new_context(viewport={"width": 1280, "height": 900}), []

    def tab(port, **size):
        page = context.new_page()
        page.set_default_timeout(10_000)
        if size:
            page.set_viewport_size(size)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if "Policy" in line.text else None)
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_selector(".card[aria-current]")
        return page

    yield tab
    context.close()
    assert faults == []


@pytest.fixture
def gate(tmp_path, write_video):
    write_camera(tmp_path, write_video)
    return tmp_path


def lines(folder):
    return [*csv.DictReader((folder / "feedback/gate/open.csv").open())]


def count_is(page, words):
    page.wait_for_function(
        "words => document.getElementById('count').textContent.startsWith(words)", arg=words
    )


def label(page, place):
    """What the card of a moment says of its mark."""
    return page.locator(".card").nth(place - 1).get_attribute("data-label")


def press(page, *keys):
    """Press keys, each when the one before is saved."""
    for key in keys:
        page.keyboard.press(key)
        page.wait_for_function("() => !waiting")


def test_each_key_has_a_button_and_a_line_of_the_legend(gate, tabs):
    with served(gate, "gate") as port:
        page = tabs(port)
        keys = page.locator("#keys kbd").all_text_contents()
        page.keyboard.press("?")
        assert page.locator("#legend kbd").all_text_contents() == keys
        assert len(keys) == 16
        page.keyboard.press("Escape")
        places = [one.bounding_box() for one in page.locator("#keys button").all()]
        press(page, "n", "j", "s")
        assert [one.bounding_box() for one in page.locator("#keys button").all()] == places
        page.get_by_role("button", name="Anomaly A", exact=True).click()
        count_is(page, "3 of 8 marked · 1 anomalous · 1 skipped · round 1")


def test_marks_by_keys_go_on_to_the_next_and_undo_outlives_a_reload(gate, tabs, capsys):
    with served(gate, "gate") as port:
        page = tabs(port)
        page.evaluate(NOTE)
        for key, words in (("n", "1 of 8"), ("a", "2 of 8"), ("s", "3 of 8")):
            press(page, key)
            count_is(page, words)
        page.wait_for_function("() => took.length === 3")
        with capsys.disabled():
            print(f"\nsaved and shown in {page.evaluate('took')} ms (wanted: {SAVED})")
        # The second moment is like the first; so are the sixth and the fifth.
        assert [row["event"] for row in lines(gate)] == [FIRST, THIRD, FOURTH]
        assert page.locator(".card[aria-current] .rank").text_content() == "5"
        page.reload()
        count_is(page, "3 of 8 marked · 1 anomalous · 1 skipped")
        press(page, "u", "u")
        count_is(page, "1 of 8 marked · 0 anomalous")
        assert page.locator(".card[aria-current] .rank").text_content() == "3"
        press(page, "u", "u", "u")
        count_is(page, "0 of 8")
        assert [row["label"] for row in lines(gate)][3:] == ["none"] * 3
        assert page.locator("#light").text_content() == "saved"


def test_similar_moments_are_counted_before_they_are_marked(gate, tabs):
    with served(gate, "gate") as port:
        page = tabs(port)
        assert page.get_by_role("button", name="Normal + 1 similar").is_visible()
        press(page, "j", "j")
        assert page.get_by_role("button", name="similar").count() == 0
        press(page, "k", "k")
        press(page, "Shift+N")
        count_is(page, "2 of 8")
        assert {row["event"] for row in lines(gate)} == {FIRST, SECOND}
        press(page, "u")
        count_is(page, "0 of 8")


def test_what_is_similar_is_not_known_of_a_list_without_looks(gate, tabs):
    path = next(gate.rglob("looks.npy"))
    np.save(path, np.full((len(np.load(path)), 1), np.nan, dtype=np.float32))
    with served(gate, "gate") as port:
        page = tabs(port)
        assert page.get_by_role("button", name="similar").count() == 0
        page.keyboard.press("?")
        assert page.locator("#unknown").is_visible()
        page.keyboard.press("Escape")
        press(page, "Shift+N")
        count_is(page, "1 of 8")


def test_a_reader_hears_what_each_key_did_and_what_it_is_about(gate, tabs):
    with served(gate, "gate") as port:
        page = tabs(port)
        assert page.locator("#light").text_content() == "no marks yet"
        tree = page.locator("body").aria_snapshot()
        for name in ('heading "Review of gate"', 'button "Finish round" [disabled]'):
            assert name in tree
        assert 'button "Moment 1, not marked, 2026-11-26' in tree
        assert 'group "Keys"' in tree
        nameless = re.compile(
            r"^\s*- (button|img|combobox|region|dialog|group)(?! \")", re.MULTILINE
        )
        assert nameless.findall(tree) == []
        assert tree.count("button") == 8 + 16 + 1
        heard = page.locator("#say[role=status]")
        press(page, "Shift+N")
        assert heard.text_content() == "Moment 1: normal, and 1 similar. Moment 3"
        assert 'button "Moment 1, normal, ' in page.locator("body").aria_snapshot()
        press(page, "j")
        assert heard.text_content().startswith("Moment 4, not marked, 2026-11-26")
        press(page, "u")
        assert heard.text_content() == "Taken back. Moment 1"
        assert page.locator(".card[aria-current=true]").count() == 1
        # From the head on through the list to the keys.
        page.locator("#finish").evaluate("one => { one.disabled = false; one.focus(); }")
        visited = []
        for _ in range(12):
            page.keyboard.press("Tab")
            visited.append(page.evaluate("document.activeElement.value"))
        cards = [f"{place:010x}" for place in range(1, 9)]
        assert visited == [*cards, "a", "n", "s", "u"]


def test_a_camera_that_cannot_be_read_says_why_and_the_others_are_marked(
    tmp_path, write_video, tabs
):
    for name in ("gate", "yard"):
        write_camera(tmp_path, write_video, camera=name)
    path = tmp_path / "feedback/yard/open.csv"
    path.parent.mkdir(parents=True)
    path.write_text("clip,frame,label\nday,1,odd\n")
    with served(tmp_path, "gate", "yard") as port:
        page = tabs(port)
        press(page, "n")
        page.locator("#camera").select_option("yard")
        page.wait_for_function("() => document.getElementById('none').textContent !== ''")
        assert "open.csv: line 2: label: 'odd'" in page.locator("#none").text_content()
        assert page.locator("#stage").is_hidden()
        assert page.locator(".card").count() == 0
        press(page, "a")
        path.write_text("clip,frame,label\n")
        count_is(page, "0 of 8 marked")
        assert page.locator("#stage").is_visible()
        press(page, "a")
        count_is(page, "1 of 8 marked · 1 anomalous")
        page.locator("#camera").select_option("gate")
        count_is(page, "1 of 8 marked · 0 anomalous")


def test_two_tabs_agree(gate, tabs):
    with served(gate, "gate") as port:
        one, other = tabs(port), tabs(port)
        press(one, "a")
        count_is(other, "1 of 8 marked · 1 anomalous")
        assert label(other, 1) == "anomaly"
        other.bring_to_front()
        press(other, "u")
        one.bring_to_front()
        count_is(one, "0 of 8")
        assert label(one, 1) == ""


def test_a_server_that_is_killed_and_started_again_loses_and_doubles_nothing(gate, tabs):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "workflow")}

    def start(port):
        command = [sys.executable, "-m", "sdor", "review", "--port", str(port)]
        server = subprocess.Popen(
            command, cwd=gate, env=environment, stdout=subprocess.PIPE, text=True
        )
        address = server.stdout.readline().split()[0]
        return server, int(address.rstrip("/").rpartition(":")[2])

    server, port = start(0)
    try:
        page = tabs(port)
        press(page, "a")
        server.kill()
        server.wait()
        page.keyboard.press("n")
        page.wait_for_function("() => document.getElementById('light').className === 'bad'")
        assert "not saved yet" in page.locator("#light").text_content()
        page.keyboard.press("n")  # of nothing that anybody has seen
        server.stdout.close()
        server, _ = start(port)
        count_is(page, "2 of 8 marked · 1 anomalous")
        assert page.locator("#light").text_content() == "saved"
        assert [row["label"] for row in lines(gate)] == ["anomaly", "normal"]
        press(page, "s")
        count_is(page, "3 of 8")
        server.send_signal(signal.SIGINT)
        assert server.wait(10) == 0
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def test_a_finished_round_is_learnt_from_and_the_new_order_is_seen(gate, tabs):
    events = events_of(8).iloc[[3, 2, 4, 5, 6, 7]].assign(rank=range(1, 7))
    marked = events_of(8).iloc[[1]].assign(rank=0, group="marked", mark="anomaly")
    gone = events_of(8).loc[[0], ["clip", "first", "last"]].to_numpy().tolist()
    there = gate / "results/gate/watch/round1"
    write_list(gate / "made", pd.concat([events, marked]), round_number=1, dismissed=gone)
    code = """
import os, shutil, sys, time
made, there, seen = sys.argv[1:]
print("sdor: half of it\\nSelect jobs", flush=True)
while not os.path.exists(seen):
    time.sleep(0.05)
shutil.copytree(made, there)
"""
    seen = gate / "seen"
    command = (sys.executable, "-c", code, str(gate / "made/round1"), str(there), str(seen))
    with served(gate, "gate", command=command, run=Run(Command(command))) as port:
        page = tabs(port)
        assert page.locator("#finish").is_disabled()
        press(page, "n", "k", "a")
        page.locator("#finish").click()
        assert "Finish round 1? 2 of 8 marked · 1 anomalous" in page.locator("#asks").text_content()
        page.locator("#yes").click()
        page.wait_for_function(
            "() => document.getElementById('learns').textContent.endsWith('half of it')"
        )
        seen.touch()
        count_is(page, "0 of 6")
        page.wait_for_selector("#learning", state="hidden")
        count_is(page, "0 of 6 marked · 0 anomalous · round 2")
        ranks = page.locator(".card .moved").all_text_contents()
        assert ranks[:2] == ["▲ from 2", "▼ from 1"]
        assert "After round 1: 1 rose, 1 fell" in page.locator("#news").text_content()
        assert page.get_by_role("heading", name="Marked as anomalies").is_visible()
        assert page.locator(".card .rank").all_text_contents() == [*"123456", ""]
        assert (gate / "feedback/gate/round1.csv").is_file()


def test_the_command_is_printed_where_it_is_not_run(gate, tabs):
    command = ("snakemake", "--config", "videos=/a b/<i>")
    with served(gate, "gate", command=command) as port:
        page = tabs(port)
        press(page, "n")
        page.locator("#finish").click()
        page.locator("#yes").click()
        page.wait_for_selector("#command", state="visible")
        assert page.locator("#command").text_content() == "snakemake --config 'videos=/a b/<i>'"
        assert str(Path.cwd()) in page.locator("#learns").text_content()
        # What was marked in it is not asked again.
        count_is(page, "0 of 7 marked · 0 anomalous · round 2")


def test_hostile_names_are_shown_as_text(tmp_path, write_video, tabs):
    camera = "<script>document.title='owned'</script>&\"'".replace("/", "")
    write_camera(tmp_path, write_video, camera=camera, source=HOSTILE)
    write_camera(tmp_path, write_video, camera="zebra")
    with served(tmp_path, camera, "zebra") as port:
        page = tabs(port)
        assert HOSTILE in page.locator("#facts").text_content()
        assert page.locator("#camera option").first.text_content() == camera
        assert page.locator("#facts img, #camera script").count() == 0
        page.wait_for_function("() => document.getElementById('video').videoWidth > 0")
        press(page, "n")
        count_is(page, "1 of 8")
        page.locator("#camera").select_option("zebra")
        count_is(page, "0 of 8")
        page.reload()
        page.wait_for_function("() => document.title.startsWith('zebra: 0 of 8')")
        assert "owned" not in page.title()


def test_loop_curve_heat_and_full_size(gate, tabs):
    with served(gate, "gate") as port:
        page = tabs(port)
        press(page, "j", "j")
        begin = events_of(8)["begin"][2]
        playing = "s => !video.paused && video.readyState > 2 && video.src.includes(s)"
        playing = playing.replace("video", "document.getElementById('video')")
        page.wait_for_function(playing, arg="/loop.mp4")
        assert page.evaluate("document.getElementById('video').loop")
        assert page.locator("#video").bounding_box()["width"] == pytest.approx(640, abs=2)
        page.keyboard.press(" ")
        assert page.evaluate("document.getElementById('video').paused")
        before = page.evaluate("now()")
        page.keyboard.press(".")
        assert page.evaluate("now()") == pytest.approx(before + 0.1, abs=0.01)
        page.keyboard.press("h")
        assert page.locator("#heat").is_hidden()
        box = page.locator("#curve").bounding_box()
        for second, view in ((begin + 0.5, "/loop.mp4"), (35, "/w2.mp4")):
            page.mouse.click(box["x"] + box["width"] * second / 40, box["y"] + 9)
            page.wait_for_function(f"() => Math.abs(now() - {second}) < .6")
            assert view in page.evaluate("document.getElementById('video').src")
        page.keyboard.press("Enter")
        page.wait_for_function(playing, arg="/full.mp4")
        assert page.evaluate("document.getElementById('video').duration") > 15
        page.keyboard.press("Escape")
        page.wait_for_function(playing, arg="/loop.mp4")


def test_a_mask_is_dragged_and_told_in_pixels_of_the_source(gate, tabs):
    with served(gate, "gate") as port:
        page = tabs(port)
        page.wait_for_function("() => document.getElementById('video').videoWidth > 0")
        page.keyboard.press("m")
        box = page.locator("#frame").bounding_box()
        shares = ((0.75, 0.5), (0.25, 0.25))  # from the lower right to the upper left
        (x, y), (to_x, to_y) = (
            (box["x"] + a * box["width"], box["y"] + b * box["height"]) for a, b in shares
        )
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(to_x, to_y)
        page.mouse.up()
        (mask,) = yaml.safe_load(page.locator("#yaml").text_content())["masks"]
        # The video is of 64 x 48 pixels.
        expected = {"x": 16, "y": 12, "width": 32, "height": 12}
        assert mask == pytest.approx(expected, abs=1)
        page.keyboard.press("Escape")
        assert page.locator("#yaml").is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_page_has_all_of_it(gate, tabs, scheme):
    with served(gate, "gate") as port:
        page = tabs(port, width=360, height=740)
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        for one in page.locator("#keys button, #finish, .card").all():
            box = one.bounding_box()
            assert 0 <= box["x"] <= box["x"] + box["width"] <= 360
        page.get_by_role("button", name="Normal N", exact=True).click()
        count_is(page, "1 of 8")
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (dark == "rgb(20, 23, 27)") is (scheme == "dark")
