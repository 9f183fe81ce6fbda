"""Tomorrow's video is scored as the archive was; its events are told as they end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from synthetic_walkers import QUICK as METHOD
from synthetic_walkers import walkers

import sdor
from sdor.command import main
from sdor.errors import SdorError
from sdor.files import file_sha256
from sdor.method.maps import PlaceMaps, seeing
from sdor.networks.backbones import load_backbone
from sdor.networks.compute import choose_compute
from sdor.networks.fetch import resolve_weights
from sdor.operator.archive import look_at_camera
from sdor.operator.basis import camera_basis
from sdor.operator.look import Eye
from sdor.operator.rank import rank
from sdor.operator.scored_page import ScoredPage
from sdor.study.scenes import Clip, Scene
from sdor.video.ffmpeg import ffmpeg_binary

COMPUTE = {"device": "cpu", "precision": "fp32"}
COMMAND = [sys.executable, "-m", "sdor", "score"]
HERE = {**os.environ, "PYTHONPATH": str(Path(sdor.__file__).parents[1])}
RATE = 25  # frames a second: ten of them are not evenly spread


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Two files of which one goes on with the other, and the results of a run on them."""
    folder = tmp_path_factory.mktemp("watched")
    video = folder / "video"
    video.mkdir()
    frames = np.concatenate([np.repeat(one, 3, axis=0) for one in walkers()[0]])
    for number, start in enumerate((0, 270)):
        path = video / f"20261126_1300{11 * number:02}.mkv"
        part = frames[start : start + 270]
        command = [ffmpeg_binary(), "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "gray"]
        command += ["-r", str(RATE), "-s", "180x120", "-i", "pipe:", "-c:v", "ffv1", str(path)]
        subprocess.run(command, input=part.tobytes(), check=True)
        os.utime(path, (1e9, 1e9))
    weights = folder / "results" / "weights" / "resnet18.safetensors"
    resolve_weights("resnet18", "random", weights)
    backbone, compute = load_backbone(weights), choose_compute(**COMPUTE)
    clips = [Clip(one.stem, "video", one, one.name) for one in sorted(video.iterdir())]
    scene = Scene("gate", video, tuple(clips))
    basis = camera_basis(scene, backbone, compute, METHOD.maps, METHOD.input_size)
    see = seeing(PlaceMaps(backbone, METHOD.maps.stages), compute, basis)
    eye = Eye(see, METHOD.input_size, METHOD.maps.fps)
    watch = folder / "results" / "gate" / "watch"
    table, looks = watch / "looks.parquet", watch / "looks"
    look_at_camera(scene, eye, (table, looks), threads=1, say=lambda _: None, about={})
    outputs = watch / "model.safetensors", watch / "scores.parquet"
    about = {"camera": "gate", "masks": [], "weights": file_sha256(weights), "compute": COMPUTE}
    rank(
        (table, looks),
        outputs,
        METHOD,
        basis,
        seed=0,
        compute=compute,
        about=about,
        say=lambda _: None,
    )
    return folder


@pytest.fixture
def model(results):
    return results / "results" / "gate" / "watch" / "model.safetensors"


@pytest.fixture(autouse=True)
def _as_before():
    """A process that is told to end still can be, after a test."""
    kept = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}
    yield
    for one, handler in kept.items():
        signal.signal(one, handler)


def put(path, content):
    """A file that a recorder closed long ago."""
    path.parent.mkdir(exist_ok=True)
    hidden = path.with_name(f".{path.name}")
    hidden.write_bytes(content)
    os.utime(hidden, (1e9, 1e9))
    hidden.rename(path)


def lines(text):
    return [json.loads(one) for one in text.splitlines()]


def assert_as_the_workflow(found, model, sources=slice(None)):
    expected = pd.read_parquet(model.with_name("scores.parquet"))
    expected = expected[expected["clip"].isin(sorted(expected["clip"].unique())[sources])]
    assert [*found["frame"]] == [*expected["frame"]]
    for name in ("time", "motion", "appearance", "places", "score"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5, err_msg=name)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_scores_are_those_of_the_workflow(results, model, tmp_path, capsys, ending):
    scores = tmp_path / f"scores.{ending}"
    given = ["score", str(results / "video"), "--model", str(model), "--scores", str(scores)]
    assert main([*given, "--above", "95", "--previews", str(tmp_path / "loops")]) == 0
    found = (pd.read_csv if ending == "csv" else pd.read_parquet)(scores)
    assert_as_the_workflow(found, model)
    assert found["clock"][0] == "2026-11-26T13:00:00.000"
    start, end = lines(capsys.readouterr().out)
    assert (start["kind"], end["kind"], start["id"]) == ("start", "end", end["id"])
    assert start["camera"] == "gate"
    assert start["model"] == file_sha256(model)[:16]
    top = found.loc[found["score"].idxmax()]
    assert end["source"] == str(results / "video" / "20261126_130011.mkv")
    assert end["peak"] == pytest.approx(top["time"], abs=1e-3)
    assert end["score"] == pytest.approx(top["score"], abs=1e-4)
    assert end["begin"] <= end["peak"] <= end["end"]
    assert end["percentile"] > 95
    left, upper, right, lower = end["box"]
    assert upper < 60 / 120 < lower  # where one runs
    assert left < 0.9 < 1.2 * right + 0.6
    assert Path(end["preview"]).read_bytes()[4:8] == b"ftyp"
    # Again, as a crontab does: nothing is scored or told anew.
    before = scores.read_bytes()
    assert main(given) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert ": 2 files, 2 scored before" in said.err
    if ending == "csv":
        assert scores.read_bytes() == before
    assert len((pd.read_csv if ending == "csv" else pd.read_parquet)(scores)) == len(found)


def test_a_page_grows_with_each_call(results, model, tmp_path, capsys, sound):
    first, second = sorted((results / "video").iterdir())
    page = tmp_path / "gate.html"
    given = ["score", "--model", str(model), "--above", "50", "--watchlist", str(page)]
    ids = []
    for more in (first, sound, second, second):
        assert main([*given, str(more)]) == (more == sound)
        ids += [one["id"] for one in lines(capsys.readouterr().out) if one["kind"] == "end"]
        with page.with_name("gate.html.events").open("a") as file:
            file.write('\n{"kind": "end", "id": "half')  # as of a call that was killed
        table = pd.read_csv(f"{page}.csv", dtype={"event": str})
        assert {*table["event"]} == {*ids}
    assert page.read_text().count("<article") == len(ids) == len({*ids}) > 1
    words = page.read_text()
    assert "1 camera, 22 s of video" in words
    assert "Unlike the rest of this camera" in words
    assert "2026-11-26 13:00:1" in words
    assert f"{sound}</bdi></code>: no video stream in this file" in words
    assert "(1 of 3 files)" in words
    assert [*table["unusual"]] == sorted(table["unusual"], reverse=True)
    for one in table.to_dict("records"):
        file = first if one["source"] == str(first) else second
        length = max(one["end"] - one["begin"], 1)
        assert f"ffplay -ss {one['begin']:.1f} -t {length:.1f} {file.absolute()}" in words
        assert one["first"] <= one["peak_frame"] <= one["last"]
        loop = page.parent / one["preview"]
        assert loop.read_bytes()[4:8] == b"ftyp"
        picture = np.asarray(Image.open(loop.with_suffix(".jpg")), dtype=float)
        assert picture.shape == (320, 480, 3)
        red = picture[..., 0] - picture[..., 1]  # of a grey video
        row, column = np.unravel_index(red.argmax(), red.shape)
        left, upper, right, lower = (float(side) for side in one["box"].split())
        assert red.max() > 10
        assert left <= column / 480 <= right
        assert upper <= row / 320 <= lower


def test_a_page_shows_the_newest_and_is_written_once_a_minute(tmp_path, monkeypatch):
    import sdor.operator.scored_page as module

    now = [100.0]
    monkeypatch.setattr(module, "SHOWN", 2)
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    path = tmp_path / "gate.html"
    page = ScoredPage(path, "gate")
    page.refresh()
    assert not path.exists()
    alike = {"begin": 1.0, "peak": 2.0, "end": 3.0, "clock": "2026-11-26T13:00:00", "source": "-"}
    alike |= {"camera": "gate", "file": None, "preview": None, "curve": [[1, 1]], "box": None}
    alike |= dict.fromkeys(("first", "last", "peak_frame"), 1) | {"score": 1, "percentile": 100}
    for name, unusual in (("a", 9.0), ("b", 5.0), ("c", 6.0)):
        page.add(kind="end", id=name, unusual=unusual, group="unlike", **alike)
        page.refresh()
    assert path.read_text().count("<article") == 1
    now[0] += 61
    page.refresh()
    assert path.read_text().count("<article") == 2
    assert "3 moments (2 of 3 are shown" in path.read_text()
    table = pd.read_csv(tmp_path / "gate.html.csv")
    assert [*table["event"]] == ["c", "b", "a"]
    assert table["clock"][0] == "2026-11-26T13:00:01.000"
    path.unlink()
    now[0] += 61
    page.refresh()
    assert not path.exists()  # there is nothing new
    page.close()


def test_what_a_page_is_made_of_is_read_once_by_one_process(tmp_path):
    page = ScoredPage(tmp_path / "gate.html", "gate")
    with pytest.raises(SdorError, match=r"gate\.html\.events: another sdor score is at work with"):
        ScoredPage(tmp_path / "gate.html", "gate")
    page.add(kind="scored", key="k", camera="gate", source="a.mp4", seconds=60.0, remarks=[])
    page.close()
    events = tmp_path / "gate.html.events"
    with events.open("a") as file:  # lines of --events, or of nobody
        file.write('\n{"kind": "end", "id": "a", "source": "a.mp4", "unusual": 1}\n[]\n7')
    page = ScoredPage(tmp_path / "gate.html", "gate")
    events.write_text("")  # by nobody: what is there is known
    page.add(kind="skipped", source="b.mp4", remarks=["cannot be read"])
    page.close()
    words = (tmp_path / "gate.html").read_text()
    assert "1 camera, 1 min of video" in words
    assert "b.mp4</bdi></code>: cannot be read" in words


def test_a_budget_is_what_the_archive_would_have_had(results, model, capsys):
    given = ["score", str(results / "video"), "--model", str(model)]
    assert main([*given, "--budget", "1/day"]) == 0
    assert capsys.readouterr().out == ""
    assert main([*given, "--budget", "100000/day"]) == 0
    assert len(lines(capsys.readouterr().out)) > 2
    assert main([*given, "--budget", "many"]) == 1
    assert "--budget many: give" in capsys.readouterr().err


def test_a_folder_is_followed_until_it_is_told_to_end(results, model, tmp_path):
    first, late = sorted((results / "video").iterdir())
    folder, events, scores = (tmp_path / name for name in ("recorder", "events", "scores.csv"))
    put(folder / first.name, first.read_bytes())
    command = [*COMMAND, str(folder), "--model", str(model), "--follow", "--events", str(events)]
    page = tmp_path / "gate.html"
    command += ["--scores", str(scores), "--above", "95", "--watchlist", str(page)]
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, env=HERE, **pipes) as process:

        def is_said(words):
            return any(words in line.decode() for line in process.stderr)

        assert is_said("130000.mkv: 11 s scored")
        put(folder / "text.mkv", b"no video")
        put(folder / late.name, late.read_bytes())
        assert is_said("130011.mkv: 11 s scored")
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == b""
        assert process.wait() == 0
    assert_as_the_workflow(pd.read_csv(scores), model)  # the late file goes on with the first
    told = lines(events.read_text())
    assert [one["kind"] for one in told if one["kind"] != "skipped"] == ["start", "end"]
    skipped = [one["source"] for one in told if one["kind"] == "skipped"]
    assert skipped in ([], [str(folder / "text.mkv")])
    words = page.read_text()
    assert words.count("<article") == 1
    assert ("text.mkv</bdi></code>: cannot be read as video" in words) == bool(skipped)


def test_a_stream_that_is_told_to_end_ends_its_event(results, model):
    loop = [ffmpeg_binary(), "-loglevel", "quiet", "-re", "-stream_loop", "-1", "-i"]
    loop += [str(results / "video" / "20261126_130011.mkv"), "-c", "copy", "-f", "matroska", "-"]
    command = [*COMMAND, "-", "--model", str(model), "--above", "1"]
    with (
        subprocess.Popen(loop, stdout=subprocess.PIPE) as player,
        subprocess.Popen(command, stdin=player.stdout, stdout=subprocess.PIPE, env=HERE) as process,
    ):
        started = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        ended = lines(process.stdout.read())[0]
        assert process.wait() == 0
        player.kill()
    assert (ended["kind"], ended["id"]) == ("end", started["id"])
    assert (ended["source"], ended["clock"]) == ("-", None)
    assert ended["end"] >= ended["begin"]


def test_what_was_broken_off_is_scored_once(results, model, tmp_path):
    scores = tmp_path / "scores.csv"
    given = ["score", "--model", str(model), "--scores", str(scores), "--events"]
    given += [str(tmp_path / "events.jsonl")]
    first, second = sorted((results / "video").iterdir())
    assert main([*given, str(first)]) == 0
    ledger = tmp_path / "scores.csv.ledger"
    whole, size = scores.read_bytes(), scores.stat().st_size
    with scores.open("ab") as file, ledger.open("a") as notes:
        file.write(whole.splitlines(keepends=True)[1] * 3)
        notes.write(json.dumps({"begins_at": size}) + '\n{"scored": ["half')
    assert main([*given, str(first), str(second)]) == 0
    found = pd.read_csv(scores)
    assert not found.duplicated(["source", "frame"]).any()
    assert found["source"].nunique() == 2


def test_a_password_is_neither_told_nor_kept(model, tmp_path, capsys):
    address = "http://admin:se@cret@127.0.0.1:9/video?user=me&password=secret"
    given = ["--events", str(tmp_path / "events.jsonl"), "--watchlist", str(tmp_path / "gate.html")]
    assert main(["score", address, "--model", str(model), *given]) == 1
    said = capsys.readouterr()
    assert "http://127.0.0.1:9/video" in said.err
    assert "http://127.0.0.1:9/video</bdi>" in (tmp_path / "gate.html").read_text()
    files = [one.read_text() for one in tmp_path.iterdir() if one.is_file()]
    for text in (said.out, said.err, *files):
        assert "cret" not in text
        assert "admin" not in text


def test_sound_alone_is_skipped_and_the_others_are_scored(results, model, tmp_path, capsys, sound):
    folder = tmp_path / "gate"
    put(folder / "a.mp4", sound.read_bytes())
    good = sorted((results / "video").iterdir())[0]
    put(folder / good.name, good.read_bytes())
    assert main(["score", str(folder), "--model", str(model)]) == 0
    said = capsys.readouterr()
    (skipped,) = (one for one in lines(said.out) if one["kind"] == "skipped")
    assert skipped["source"] == str(folder / "a.mp4")
    assert skipped["reason"].endswith("a.mp4: no video stream in this file")
    assert f"{good.name}: 11 s scored" in said.err


def test_a_file_that_was_named_and_cannot_be_read_is_a_fault(
    results, model, tmp_path, capsys, sound
):
    good = sorted((results / "video").iterdir())[0]
    given = [str(sound), str(good), "--model", str(model), "--events", str(tmp_path / "events")]
    assert main(["score", *given]) == 1
    *_, scored, fault = capsys.readouterr().err.splitlines()
    assert f"{good.name}: 11 s scored" in scored
    assert fault == f"sdor: all else was scored, not {sound}: no video stream in this file"
    assert main(["score", *given]) == 0  # it was told once


@pytest.mark.parametrize(
    ("source", "changed", "words"),
    [
        ("gone.mp4", {}, "gone.mp4: no such file or folder"),
        ("two\nlines.mp4", {}, r"'two\\nlines.mp4': has control characters in it; rename it"),
        ("caf\udce9.mp4", {}, r"'caf\\udce9.mp4': is no UTF-8 text; rename it"),
        ("text.mp4", {}, "nothing could be read; the last: .*text.mp4: cannot be read as video"),
        ("-", {"--watchlist": "."}, r"\.: is a folder; give a file for the page"),
        ("-", {"--watchlist": "text.mp4/a"}, "text.mp4/a: there is no folder text.mp4; make it"),
        ("-", {"--watchlist": "no/a"}, "no/a: there is no folder no; make it first"),
        ("-", {"--watchlist": "text.mp4"}, "text.mp4: was not made by sdor score .*; give another"),
        ("-", {"--watchlist": "b"}, "b.csv: was not made by sdor score .*; give another"),
        ("-", {"--watchlist": ""}, r"\.: is a folder; give a file for the page"),
        ("-", {"--watchlist": "told"}, "told.events: was not made by .*--watchlist; give another"),
        ("-", {"--watchlist": "ours"}, "ours.csv: was not made by sdor score .*; give another"),
        ("-", {"--scores": ""}, r"--scores: \. is a folder; give a file"),
        ("-", {"--events": ""}, r"--events: \. is a folder; give a file"),
        ("-", {"--scores": "film"}, "film: holds something else; give another file for the scores"),
        ("-", {"--watchlist": "a", "--events": "a"}, "a: is of the watchlist; give another file"),
        ("-", {"--model": "gone"}, "gone: no such model; snakemake watchlist makes"),
        ("-", {"--model": "text.mp4"}, "text.mp4: damaged"),
        ("-", {"--weights": "gone"}, "gone: no weights of resnet18; give"),
        ("-", {"--weights": "text.mp4"}, "text.mp4: not the weights"),
    ],
)
def test_faults_are_one_line(model, tmp_path, monkeypatch, capsys, source, changed, words):
    monkeypatch.chdir(tmp_path)
    there = dict.fromkeys(("text.mp4", "b.csv", "ours.csv"), b"no video")
    there["told.events"] = b'{"kind": "end", "id": "a", "source": "a.mp4", "model": "b"}\n'
    there["ours.events"] = b'{"kind": "skipped", "source": "a.mp4", "remarks": []}\n'
    there["film"] = b"\x00\x00\x00 ftypisom\xff\xfe"
    there["film.ledger"] = b'[]\n7\nnull\n{"scored": 5}\n{"begins_at": []}\n'
    for name, content in there.items():
        Path(name).write_bytes(content)
    given = {"--model": str(model), **changed}
    assert main(["score", source, *(one for pair in given.items() for one in pair)]) == 1
    assert re.search(words, capsys.readouterr().err.splitlines()[-1])
    assert {one.name: one.read_bytes() for one in Path().iterdir()} == there


def test_a_stream_that_comes_back_leaves_a_gap(results, model, tmp_path, capsys):
    """A server that hangs up after each file, as a camera that starts anew does."""
    handler = partial(SimpleHTTPRequestHandler, directory=results / "video")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_port}/20261126_130000.mkv"
    events = tmp_path / "events"

    def end():
        while not events.is_file() or '"gap"' not in events.read_text():
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    Thread(target=end, daemon=True).start()
    given = ["score", f"http://me:secret@{address}", "--model", str(model), "--follow"]
    page = tmp_path / "gate.html"
    given += ["--above", "1", "--watchlist", str(page)]
    assert main([*given, "--events", str(events)]) == 0
    server.shutdown()
    assert f"<bdi>http://{address}</bdi>" in page.read_text()
    assert "ffplay" not in page.read_text()
    assert "copy its command" not in page.read_text()
    assert "secret" not in page.with_name("gate.html.events").read_text() + page.read_text()
    gap = next(one for one in lines(events.read_text()) if one["kind"] == "gap")
    assert gap["source"] == f"http://{address}"
    assert gap["seconds"] >= 1
    assert gap["begin"] < gap["end"]
    said = capsys.readouterr().err
    assert "no more comes; asked again in 1 s" in said
    assert "secret" not in said
