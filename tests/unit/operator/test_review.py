"""The page on which moments are marked, over real HTTP: what it answers, and to whom."""

import asyncio
import csv
import gc
import http.client
import io
import ipaddress
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import av
import pandas as pd
import pytest
from PIL import Image
from synthetic_watch import HOSTILE, cameras_in, events_of, served, write_camera, write_list

from sdor.command import main
from sdor.errors import SdorError
from sdor.files import write_parquet
from sdor.operator.previews import Span
from sdor.operator.review import film, server
from sdor.operator.review.listing import listed
from sdor.operator.review.marking import Camera
from sdor.operator.review.run import Command, Run
from sdor.operator.review.safety import is_loopback
from sdor.running.noted import note_command
from sdor.study.scenes import Clip

FIRST, SECOND, THIRD = (f"{place:010x}" for place in (1, 2, 3))


@pytest.fixture(scope="module")
def shared(tmp_path_factory, write_video):
    """A page that nobody marks on."""
    folder = tmp_path_factory.mktemp("shared")
    write_camera(folder, write_video, source=HOSTILE)
    with served(folder, "gate") as port:
        yield folder, port


@pytest.fixture
def gate(tmp_path, write_video):
    write_camera(tmp_path, write_video)
    with served(tmp_path, "gate") as port:
        yield tmp_path, port


def asked(port, path, method="GET", body=None, **headers):
    """(status, headers, content) of an answer; headers as given, with _ for -."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, given)
    answer = connection.getresponse()
    found = answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


def sent(port, path, **body):
    """Status and document of what the page itself sends."""
    content = json.dumps({"camera": "gate", **body})
    own = {"Content-Type": "application/json", "Origin": f"http://127.0.0.1:{port}"}
    status, _, answer = asked(port, path, "POST", content, **own)
    return status, json.loads(answer) if answer.startswith(b"{") else answer.decode()


def state(port):
    return json.loads(asked(port, "/state?camera=gate")[2])


def mark(port, event, label, *, similar=False, name=None, ranking=None):
    more = {"id": name or secrets.token_hex(16), "event": event, "label": label}
    now = state(port)
    more |= {"similar": similar, "ranking": ranking or now["ranking"], "round": now["round"]}
    return sent(port, "/mark", **more)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1:1", "", "localhost"]
)
def test_other_names_of_this_machine_are_refused(shared, host):
    _, port = shared
    assert asked(port, "/", Host=host.format(port=port))[0] == 421


@pytest.mark.parametrize(
    "host", ["localhost:{port}", "127.0.0.1:{port}", "LOCALHOST:{port}", "[::1]:{port}"]
)
def test_own_names_of_this_machine_are_answered(shared, host):
    _, port = shared
    assert asked(port, "/", Host=host.format(port=port))[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 403),  # without one
        ({"Origin": "http://localhost:{port}"}, 403),  # another name than that it is asked by
        ({"Origin": "https://127.0.0.1:{port}"}, 403),
        ({"Origin": "http://127.0.0.1:{port}", "Content-Type": "text/plain"}, 415),
        (
            {
                "Origin": "http://127.0.0.1:{port}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            415,
        ),
    ],
)
def test_what_other_pages_send_is_refused(gate, headers, status):
    folder, port = gate
    given = {"Content-Type": "application/json"}
    given |= {name: value.format(port=port) for name, value in headers.items()}
    body = {"camera": "gate", "id": "0" * 32, "event": FIRST, "label": "normal"}
    body |= {name: state(port)[name] for name in ("ranking", "round")}
    answer = asked(port, "/mark", "POST", json.dumps(body), **given)
    assert answer[0] == status
    assert not (folder / "feedback").exists()
    assert sent(port, "/mark", **body)[0] == 200


def test_another_pages_origin_reads_nothing(shared):
    _, port = shared
    assert asked(port, "/state?camera=gate", Origin="http://evil.example")[0] == 403
    status, headers, _ = asked(port, "/mark", "OPTIONS", Origin=f"http://127.0.0.1:{port}")
    assert status == 405
    assert not [name for name in headers if name.startswith("access-control")]


def test_at_most_4_kb_are_taken(gate):
    folder, port = gate
    for size, status in ((3900, 200), (4200, 413), (10_000_000, 413)):
        body = {"id": secrets.token_hex(16), "event": FIRST, "label": "normal", "more": "x" * size}
        try:
            body |= {name: state(port)[name] for name in ("ranking", "round")}
            found = sent(port, "/mark", **body)[0]
        except (BrokenPipeError, ConnectionResetError):  # it does not wait for the rest
            found = 413
        assert found == status
    assert len((folder / "feedback/gate/open.csv").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"\xff",
        b'{"camera": "gate"}',
        b'{"camera": "gate", "id": "../x", "event": "0000000001", "label": "normal"}',
        b'{"camera": "gate", "id": "%032d", "event": "0000000001", "label": "=x"}' % 0,
    ],
)
def test_what_is_no_mark_is_refused(shared, body):
    folder, port = shared
    own = {"Content-Type": "application/json", "Origin": f"http://127.0.0.1:{port}"}
    assert asked(port, "/mark", "POST", body, **own)[0] == 400
    assert not (folder / "feedback").exists()


@pytest.mark.parametrize(
    "path", ["/", "/review.js", "/list?camera=gate", "/none", "/media/gate/x/loop.mp4"]
)
def test_all_answers_say_what_a_browser_may_do_with_them(shared, path):
    _, port = shared
    for given in ({}, {"Host": "evil.example"}):
        _, headers, _ = asked(port, path, **given)
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'self';")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_the_page_runs_nothing_but_its_own_file(shared):
    _, port = shared
    page = asked(port, "/")[2].decode()
    assert page.count("<script") == page.count('<script src="/review.js" defer></script>') == 1
    assert " style=" not in page
    assert "<style" not in page
    assert not re.search(r"\son\w+\s*=", page)
    script = asked(port, "/review.js")[2].decode()
    assert len(script.splitlines()) < 250
    assert max(map(len, script.splitlines())) < 130
    assert "innerHTML" not in script
    assert "http" not in script


def test_media_are_found_by_event_alone(shared):
    _, port = shared
    assert asked(port, f"/media/gate/{FIRST}/picture.jpg")[1]["content-type"] == "image/jpeg"
    for path in (
        "/media/gate/../../results/gate/watch/events.parquet",
        "/media/gate/..%2F..%2Fwatch/picture.jpg",
        f"/media/gate/{FIRST}/..%2F..%2Fevents.parquet",
        "/media/gate/ffffffffff/picture.jpg",
        f"/media/other/{FIRST}/picture.jpg",
        f"/media/gate/{FIRST}/w99.mp4",
        f"/media/gate/{FIRST}/-i.mp4",
        "/list?camera=../gate",
        "/../../../../etc/passwd",
    ):
        assert asked(port, path)[0] == 404, path


def test_an_event_that_is_called_like_a_path_opens_nothing(tmp_path, write_video):
    watch = write_camera(tmp_path, write_video, count=2)
    events = events_of(2)
    (watch / "secret.jpg").write_bytes(b"secret")
    events["event"] = ["../secret", FIRST]
    write_list(watch, events.assign(event=["x", FIRST]))
    events.to_parquet(watch / "events.parquet")
    listing = cameras_in(tmp_path, "gate")["gate"].listing
    assert listing.preview("../secret", ".jpg") is None
    assert listing.preview(FIRST, ".jpg").is_file()


def test_films_are_h264_in_420_in_parts_as_asked_for(shared):
    _, port = shared
    path = f"/media/gate/{SECOND}/loop.mp4"
    status, headers, whole = asked(port, path)
    assert (status, headers["content-type"]) == (200, "video/mp4")
    status, headers, part = asked(port, path, Range="bytes=10-19")
    assert (status, part) == (206, whole[10:20])
    assert headers["content-range"] == f"bytes 10-19/{len(whole)}"
    assert asked(port, path, Range=f"bytes={len(whole) + 9}-")[0] == 416
    listing = json.loads(asked(port, "/list?camera=gate")[2])
    begin = events_of(8)["begin"][1]
    for view, seconds, first in (("loop", 4.0, begin - 3), ("full", 18.0, 0.0), ("w2", 20.0, 20.0)):
        content = asked(port, f"/media/gate/{SECOND}/{view}.mp4")[2]
        with av.open(io.BytesIO(content)) as file:
            stream = file.streams.video[0]
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert not file.streams.audio
            frames = [frame.to_ndarray(format="gray").mean() for frame in file.decode(stream)]
        assert len(frames) / 10 == pytest.approx(seconds, abs=0.3), view
        # Its grey says where in the video a frame is.
        assert frames[0] / 255 * 40 == pytest.approx(max(first, 0), abs=1.0), view
    assert listing["events"][1]["size"] == [64, 48]


def test_pieces_over_the_border_of_files_are_one_film(tmp_path, write_video):
    watch = write_camera(tmp_path, write_video, count=2)
    row = pd.read_parquet(watch / "looks.parquet").iloc[0]
    (tmp_path / "rec/gate/day.mp4").rename(tmp_path / "rec/gate/a.mp4")
    (tmp_path / "rec/gate/b.mp4").write_bytes((tmp_path / "rec/gate/a.mp4").read_bytes())
    rows = [
        {**row, "clip": one, "source": f"{one}.mp4", "offset": at}
        for one, at in (("a", 0.0), ("b", 40.0))
    ]
    write_parquet(watch / "looks.parquet", pd.DataFrame(rows), {"root": str(tmp_path / "rec/gate")})
    ends = {"begin_seconds": 41.0, "end_seconds": 43.0, "peak_seconds": 42.0}
    events = events_of(1).assign(clip="b", begin=1.0, end=3.0, peak_time=2.0, **ends)
    write_list(watch, events)
    listing = cameras_in(tmp_path, "gate")["gate"].listing
    view = listing.view(FIRST, "loop")
    assert [(it.clip.name, it.begin, it.end) for it in view.pieces] == [("a", 38, 40), ("b", 0, 3)]
    assert view.start == pytest.approx(-2)
    asyncio.run(film.write_film(view.pieces, tmp_path / "loop.mp4", full=False))
    with av.open(str(tmp_path / "loop.mp4")) as file:
        frames = [one.to_ndarray(format="gray").mean() for one in file.decode(video=0)]
    assert len(frames) == pytest.approx(50, abs=2)
    assert frames[10] > 240
    assert frames[-1] < 30
    (tmp_path / "rec/gate/a.mp4").unlink()
    assert listing.view(FIRST, "loop").start == 0
    asyncio.run(film.write_film(listing.view(FIRST, "loop").pieces, tmp_path / "b.mp4", full=False))
    with av.open(str(tmp_path / "b.mp4")) as file:
        assert len([*file.decode(video=0)]) == pytest.approx(30, abs=2)


def test_what_is_gone_is_said_and_the_rest_is_shown(tmp_path, write_video):
    write_camera(tmp_path, write_video)
    (tmp_path / "rec/gate/day.mp4").unlink()
    with served(tmp_path, "gate") as port:
        status, _, words = asked(port, f"/media/gate/{FIRST}/loop.mp4")
        assert status == 404
        assert b"cannot be read" in words
        assert asked(port, f"/media/gate/{FIRST}/picture.jpg")[0] == 200
        (tmp_path / f"results/gate/watch/previews/{FIRST}.mp4").write_bytes(b"made before")
        assert asked(port, f"/media/gate/{FIRST}/loop.mp4")[2] == b"made before"


def test_films_have_a_bound(tmp_path, monkeypatch, write_video):
    write_camera(tmp_path, write_video)
    monkeypatch.setattr(film, "MOST", 2)
    with served(tmp_path, "gate") as port:
        for event in (FIRST, SECOND, THIRD, FIRST):
            assert asked(port, f"/media/gate/{event}/loop.mp4")[0] == 200
            assert len([*(tmp_path / "films").iterdir()]) <= 2


@pytest.mark.parametrize(
    "words",
    [
        "ffconcat version 1.0\nfile day.mp4\n",
        '<!-- --><MPD profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" type="static"><Period>'
        '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>day.mp4'
        "</BaseURL></Representation></AdaptationSet></Period></MPD>",
    ],
)
def test_a_recording_leads_to_no_other_file(tmp_path, write_video, words):
    write_camera(tmp_path, write_video)
    path = tmp_path / "rec/gate/list.mp4"
    path.write_text(words)
    piece = Span(Clip("list", "video", path, path.name), 0.0, 1.0)
    with pytest.raises(SdorError, match=r"list\.mp4"):
        asyncio.run(film.write_film([piece], tmp_path / "loop.mp4", full=False))


def test_nothing_is_left_of_a_film_that_fails_or_that_nobody_waits_for(tmp_path, monkeypatch):
    monkeypatch.setattr(film, "PATIENCE", 0.02)
    code = "import os, sys, time; print(os.getpid(), file=open(sys.argv[1], 'w')); time.sleep(60)"
    answers = []

    async def waits():
        return False

    async def leaves():  # once the program is at work
        answers.append(any(path.stat().st_size for path in tmp_path.iterdir()))
        return answers[-1]

    async def fails(path):
        path.write_bytes(b"half")
        raise SdorError("full")

    async def takes_long(path):
        await film._succeeds([sys.executable, "-c", code, str(path)])

    async def asked_for():
        films = film.Films(tmp_path)
        with pytest.raises(SdorError, match="full"):
            await films.film(("a",), fails, waits)
        assert await films.film(("a",), takes_long, leaves) is None
        cut = asyncio.ensure_future(films.film(("a",), takes_long, waits))
        while not any(path.stat().st_size for path in tmp_path.iterdir()):
            await asyncio.sleep(0.02)
        process = int(next(tmp_path.iterdir()).read_text())
        cut.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cut
        del cut
        await asyncio.sleep(0)  # the loop, too, lets go of what was raised
        gc.collect()
        assert len(films._at_work) == 0
        return process

    process = asyncio.run(asked_for())
    assert [*tmp_path.iterdir()] == []
    deadline = time.monotonic() + 10
    while Path(f"/proc/{process}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_end_in_the_middle_of_a_film_is_quiet(tmp_path, write_video):
    write_camera(tmp_path, write_video)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ffmpeg").write_text("#!/bin/sh\ntouch begun; exec sleep 60\n")
    (tmp_path / "bin/ffmpeg").chmod(0o755)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3] / "workflow")}
    environment["PATH"] = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    page = subprocess.Popen(
        [sys.executable, "-m", "sdor", "review", "--port", "0"],
        cwd=tmp_path,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    port = int(page.stdout.readline().split()[0].rstrip("/").rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", f"/media/gate/{FIRST}/full.mp4")
    deadline = time.monotonic() + 20
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    page.send_signal(signal.SIGINT)
    _, words = page.communicate(timeout=20)
    assert (page.returncode, words) == (0, "")
    connection.close()


def test_heat_and_curve(shared):
    _, port = shared
    content = asked(port, f"/media/gate/{FIRST}/heat.png")[2]
    image = Image.open(io.BytesIO(content))
    across, down = (8 / 36 * image.width, 7 / 24 * image.height)
    assert image.getpixel((int(across), int(down)))[3] > 100
    assert image.getpixel((image.width - 5, image.height - 5))[3] == 0
    found = json.loads(asked(port, f"/media/gate/{FIRST}/curve")[2])
    points = [tuple(map(float, one.split(","))) for one in found["drawn"]["line"]["points"].split()]
    assert points[0][0] == 0
    # The sine is highest after a quarter of its period.
    assert min(points, key=lambda one: one[1])[0] % (1000 * 6.283 / 40) == pytest.approx(39, abs=3)
    assert found["drawn"]["shade"] == {"x": pytest.approx(50), "width": pytest.approx(25)}
    assert found["starts"] == {"loop": 0.0, "full": 0.0}


def test_names_are_escaped(tmp_path, write_video):
    write_camera(tmp_path, write_video, camera="a<b>\"&'")
    with served(tmp_path, "a<b>\"&'") as port:
        page = asked(port, "/")[2].decode()
    assert "a<b>" not in page
    assert "a&lt;b&gt;&#34;&amp;&#39;" in page


def test_a_token_is_wanted_from_elsewhere_and_given_once(tmp_path, write_video):
    write_camera(tmp_path, write_video)
    token = secrets.token_urlsafe(24)
    with served(tmp_path, "gate", host="0.0.0.0", token=token) as port:
        for path in ("/", "/review.js", "/state?camera=gate", "/?token=", "/?token=wrong"):
            assert asked(port, path)[0] == 403, path
        assert asked(port, "/", Cookie=f"sdor-{port}=wrong")[0] == 403
        status, headers, _ = asked(port, f"/?token={token}")
        assert (status, headers["location"]) == (303, "/")
        cookie = headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        given = headers["set-cookie"].partition(";")[0]
        assert asked(port, "/", Cookie=given)[0] == 200
        for other in ("a,b[]=1", "=", "x=\x01", 'y="\xe4', "a b;;c"):  # of other pages of this host
            assert asked(port, "/", Cookie=f"{other}; {given}")[0] == 200, other
            assert asked(port, "/", Cookie=other)[0] == 403, other
        own = {"Host": f"192.168.1.5:{port}", "Cookie": given}
        assert asked(port, "/", **own)[0] == 200
        assert asked(port, "/", Host=f"evil.example:{port}", Cookie=given)[0] == 421
        post = {"Content-Type": "application/json", "Origin": f"http://192.168.1.5:{port}"}
        assert asked(port, "/undo", "POST", "{}", **post, Host=own["Host"])[0] == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_who_listens_everywhere_is_told_an_address_that_others_can_open(host):
    found = server._shown(host)
    assert found not in ("", host)
    assert found == socket.gethostname() or ipaddress.ip_address(found).version == 4


def test_json_may_say_its_charset(gate):
    _, port = gate
    own = {"Origin": f"http://127.0.0.1:{port}", "Content-Type": "Application/JSON; charset=utf-8"}
    now = state(port)
    body = {"camera": "gate", "id": "0" * 32, "event": FIRST, "label": "normal"}
    body |= {name: now[name] for name in ("ranking", "round")}
    assert asked(port, "/mark", "POST", json.dumps(body), **own)[0] == 200


def test_a_camera_with_damaged_files_is_said_and_the_others_are_served(
    tmp_path, write_video, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for name in ("gate", "hall", "yard"):
        write_camera(tmp_path, write_video, camera=name)
    (tmp_path / "results/gate/watch/events.parquet").write_bytes(b"PAR1")
    (tmp_path / "feedback/yard").mkdir(parents=True)
    (tmp_path / "feedback/yard/open.csv").write_text("clip,frame,label\nday,1,odd\n")
    reached = SdorError("as far as that")
    monkeypatch.setattr(server, "_listen", lambda *_: (_ for _ in ()).throw(reached))
    assert main(["review"]) == 1
    *faults, last = capsys.readouterr().err.splitlines()
    assert last == f"sdor: {reached}"
    for fault, path in zip(faults, ("gate/watch/events.parquet", "yard/open.csv"), strict=True):
        assert f"{path}: " in fault
        assert fault.endswith("; the other cameras are shown")
    for words in (["gate"], ["gate", "yard"]):  # of which there is nothing else to show
        assert main(["review", *words]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "events.parquet: damaged" in line
    with served(tmp_path, "gate", "hall") as port:
        assert asked(port, "/state?camera=hall")[0] == 200
        status, _, answer = asked(port, "/state?camera=gate")
        assert (status, "events.parquet: damaged" in json.loads(answer)["error"]) == (422, True)


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.4", False),
        ("example.org", False),
    ],
)
def test_loopback(host, own):
    assert is_loopback(host) is own


def test_a_mark_is_on_the_disk_when_it_is_answered(gate):
    folder, port = gate
    status, after = mark(port, FIRST, "anomaly")
    assert status == 200
    assert after["labels"] == {FIRST: "anomaly"}
    (row,) = csv.DictReader((folder / "feedback/gate/open.csv").open())
    event = events_of(8).iloc[0]
    expected = {"event": FIRST, "clip": "day", "frame": str(event["peak"]), "label": "anomaly"}
    expected |= {"first": str(event["first"]), "last": str(event["last"])}
    assert {name: row[name] for name in expected} == expected
    assert row["ranking"] == after["ranking"]
    assert all(row[name] for name in ("id", "at", "by"))


def test_the_same_mark_twice_is_one(gate):
    folder, port = gate
    for _ in range(3):
        assert mark(port, FIRST, "normal", name="a" * 32)[0] == 200
    assert len((folder / "feedback/gate/open.csv").read_text().splitlines()) == 2


def test_similar_moments_are_marked_as_said_and_taken_back_together(gate):
    _, port = gate
    shown = json.loads(asked(port, "/list?camera=gate")[2])["events"]
    assert shown[0]["alike"] == [1]
    assert mark(port, SECOND, "anomaly")[1]["labels"] == {SECOND: "anomaly"}
    # What has a mark of its own keeps it.
    assert mark(port, FIRST, "normal", similar=True)[1]["labels"] == {
        SECOND: "anomaly",
        FIRST: "normal",
    }
    fifth = f"{5:010x}"
    _, after = mark(port, fifth, "normal", similar=True)
    assert after["labels"].keys() == {FIRST, SECOND, fifth, f"{6:010x}"}
    _, after = sent(port, "/undo", undo=after["undo"], round=1)
    assert after["labels"].keys() == {FIRST, SECOND}


def test_undo_of_any_depth_brings_back_what_was_said_before(gate):
    folder, port = gate
    told = [(FIRST, "anomaly"), (SECOND, "normal"), (FIRST, "normal"), (THIRD, "skip")]
    seen = [{}]
    for event, label in told:
        seen.append(mark(port, event, label)[1]["labels"])
    for labels in seen[-2::-1]:
        before = state(port)["undo"]
        for _ in range(2):  # twice is once
            status, after = sent(port, "/undo", undo=before, round=1)
            assert (status, after["labels"]) == (200, labels)
    assert after["undo"] == ""
    words = (folder / "feedback/gate/open.csv").read_text()
    assert [row["label"] for row in csv.DictReader(io.StringIO(words))][4:] == [
        "none",
        "anomaly",
        "none",
        "none",
    ]


def test_undo_takes_back_no_mark_that_was_not_seen(gate):
    _, port = gate
    first = mark(port, FIRST, "anomaly")[1]["undo"]
    mark(port, SECOND, "normal")
    assert sent(port, "/undo", undo=first, round=1)[0] == 409
    assert state(port)["labels"].keys() == {FIRST, SECOND}


def test_a_mark_of_another_list_is_refused(gate):
    _, port = gate
    assert mark(port, FIRST, "anomaly", ranking="0" * 16)[0] == 409
    assert state(port)["labels"] == {}


def test_a_mark_that_comes_again_after_its_round_is_in_no_other(gate):
    folder, port = gate
    now, name = state(port), secrets.token_hex(16)
    body = {"id": name, "event": FIRST, "label": "normal", "ranking": now["ranking"], "round": 1}
    assert sent(port, "/mark", **body)[0] == 200
    assert sent(port, "/finish", round=1)[0] == 200
    assert sent(port, "/mark", **body)[0] == 409
    assert sent(port, "/finish", round=True)[0] == 400
    assert not (folder / "feedback/gate/open.csv").exists()


def test_a_list_that_is_made_again_stays_until_it_is_whole(gate):
    folder, port = gate
    watch, before = folder / "results/gate/watch", state(port)
    for gone in ("events.parquet", "heat.npy", "previews/done"):
        (watch / gone).unlink()
    assert state(port) == before
    assert mark(port, FIRST, "normal")[0] == 200
    assert asked(port, f"/media/gate/{FIRST}/heat.png")[0] == 200
    write_list(watch, events_of(5))
    assert len(json.loads(asked(port, "/list?camera=gate")[2])["events"]) == 5


def test_what_another_page_shows_of_this_one_is_refused(shared):
    _, port = shared
    path = f"/media/gate/{FIRST}/loop.mp4"
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200)):
        assert asked(port, path, Sec_Fetch_Site=site)[0] == status
    assert asked(port, "/", Sec_Fetch_Site="cross-site")[0] == 200


def test_a_round_that_is_finished_while_a_run_is_at_work_is_learnt_from_next(tmp_path):
    noted = tmp_path / "noted"
    code = "import sys, time; open(sys.argv[1], 'a').write('x'); time.sleep(0.3)"
    run = Run(Command((sys.executable, "-c", code, str(noted))))
    run.start(anew=True)
    run.start(anew=True)
    run.start()
    deadline = time.monotonic() + 20
    while not (noted.exists() and noted.read_text() == "xx" and not run.at_work):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_finished_round_waits_for_the_next_list_and_the_list_tells_what_moved(gate):
    folder, port = gate
    status, answer = sent(port, "/finish", round=1)
    assert (status, "nothing is marked" in answer["error"]) == (422, True)
    mark(port, FIRST, "normal")
    mark(port, THIRD, "anomaly")
    assert sent(port, "/finish", round=1)[0] == 200
    assert sent(port, "/finish", round=1)[0] == 409
    assert (folder / "feedback/gate/round1.csv").is_file()
    waits = state(port)
    assert (waits["round"], waits["learnt"], waits["labels"]) == (2, False, {})
    assert waits["earlier"] == {FIRST: "normal", THIRD: "anomaly"}
    assert waits["command"] == "true"
    events = events_of(8)
    events = events.iloc[[7, 1, 3, 4, 5, 6]].assign(rank=range(1, 7))
    marked = events_of(8).iloc[[2]].assign(rank=0, group="marked", mark="anomaly")
    now_there = pd.concat([events, marked]).reset_index(drop=True)
    gone = events_of(8).loc[[0], ["clip", "first", "last"]].to_numpy().tolist()
    write_list(folder / "results/gate/watch", now_there, round_number=1, dismissed=gone)
    now = state(port)
    assert (now["learnt"], now["earlier"]) == (True, {})
    assert now["ranking"] != waits["ranking"]
    shown = json.loads(asked(port, "/list?camera=gate")[2])
    assert [one["moved"] for one in shown["events"]][:2] == ["▲ from 6", "▼ from 1"]
    assert "1 rose" in shown["news"][0]
    assert [one["marked"] for one in shown["events"]].count("anomaly") == 1


def test_a_damaged_list_before_is_said_and_hides_nothing(
    tmp_path, write_video, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    watch = write_camera(tmp_path, write_video)
    write_list(watch, events_of(3), round_number=1)
    (tmp_path / "feedback/gate").mkdir(parents=True)
    (tmp_path / "feedback/gate/round1.csv").write_text("clip,frame,label\nday,1,normal\n")
    (watch / "events.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(server, "_listen", lambda *_: (_ for _ in ()).throw(SdorError("enough")))
    assert main(["review"]) == 1
    words = "results/gate/watch/events.parquet: the list before cannot be read"
    assert f"sdor: camera gate: {words}" in capsys.readouterr().err
    with served(tmp_path, "gate") as port:
        status, _, answer = asked(port, "/list?camera=gate")
        assert (status, len(json.loads(answer)["events"])) == (200, 3)
        assert words in json.loads(answer)["news"][1]


def test_a_run_is_the_printed_command_one_at_a_time(tmp_path, write_video):
    write_camera(tmp_path, write_video)
    code = "import sys, time; open(sys.argv[1], 'a').write('x');"
    code += "print('sdor: \\x1b[32mhalf\\x1b[0m\\nSelect jobs', flush=True); time.sleep(1)"
    noted = tmp_path / "a b; touch c"
    command = (sys.executable, "-c", code, str(noted))
    run = Run(Command(command))
    with served(tmp_path, "gate", command=command, run=run) as port:
        mark(port, FIRST, "normal")
        assert sent(port, "/finish", round=1)[0] == 200
        sent(port, "/learn")
        while state(port)["run"]["line"] != "half":
            time.sleep(0.02)
        assert state(port)["run"]["at_work"]
        while state(port)["run"]["at_work"]:
            time.sleep(0.05)
    assert noted.read_text() == "x"
    assert not run.failed


def test_a_run_that_fails_says_its_last_line_and_ends_with_the_page(tmp_path, write_video):
    write_camera(tmp_path, write_video)
    run = Run(Command((sys.executable, "-c", "import sys; print('no room'); sys.exit(1)")))
    with served(tmp_path, "gate", run=run) as port:
        sent(port, "/learn")
        while run.at_work:
            time.sleep(0.02)
        assert state(port)["run"] == {"at_work": False, "line": "no room", "failed": True}
    for said, fault in (("sdor: failed: full\nShut down", "full"), ("sdor: half\nKey", "Key")):
        run = Run(Command((sys.executable, "-c", f"print({said!r}); raise SystemExit(1)")))
        run.start()
        while run.at_work:
            time.sleep(0.02)
        assert (run.line, run.failed) == (fault, True)
    long = Run(Command((sys.executable, "-c", "import time; time.sleep(60)")))
    begin = time.monotonic()
    with served(tmp_path, "gate", run=long) as port:
        sent(port, "/learn")
        assert long.at_work
    assert time.monotonic() - begin < 10
    with served(tmp_path, "gate") as port:
        assert sent(port, "/learn")[0] == 409


def test_the_lists_of_both_approaches_are_found(tmp_path, write_video):
    watch = write_camera(tmp_path, write_video, camera="gate")
    write_camera(tmp_path, write_video, camera="yard")
    paper = tmp_path / "results/yard/paper/seed0/watch"
    paper.parent.mkdir(parents=True)
    (tmp_path / "results/yard/watch").rename(paper)
    assert listed(tmp_path / "results") == {"gate": watch, "yard": paper}
    camera = Camera("yard", paper, tmp_path / "feedback/yard")
    assert camera.listing.document["events"][0]["event"] == FIRST
    (watch / "previews/done").unlink()  # marks by hand were there before the first run
    assert listed(tmp_path / "results") == {"yard": paper}
    write_list(watch, events_of(3), round_number=1)
    assert listed(tmp_path / "results") == {"gate": watch, "yard": paper}


def test_faults_at_the_start_are_one_line(tmp_path, write_video, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def said(*words):
        assert main(["review", *words]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert said().endswith(
        "no watchlist; this makes one here: snakemake --cores all watchlist --config videos=FOLDER"
    )
    write_camera(tmp_path, write_video)
    assert said("../gate").endswith("there is gate")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert f"127.0.0.1:{port}: cannot listen there (Address already in use)" in said(
            "--port", port
        )
    assert said("--learn").startswith(
        "sdor: --learn: nobody knows how the list was made; do it once more: "
    )
    note_command(["snakemake", "-s", "../Snakefile", "watchlist"])  # a copy at another depth
    assert said("--learn").startswith(f"sdor: --learn: {tmp_path.parent}/Snakefile: is not there, ")
    note_command(["snakemake", "-s", "rec", "watchlist"])
    assert "no such port" in said("--learn", "--port", "99999")
    assert "no such port" in said("--port", "99999")
    for host in ("192.0.2.1", "no.such.host.invalid", "2001:db8::1", "a" * 99):
        assert said("--host", host, "--port", "0").startswith(f"sdor: --host: {host} is no name or")
    (tmp_path / "rec").rename(tmp_path / "elsewhere")
    monkeypatch.setattr(server, "_listen", lambda *_: (_ for _ in ()).throw(SdorError("enough")))
    assert main(["review"]) == 1
    assert f"camera gate: no video at {tmp_path}/rec/gate;" in capsys.readouterr().err
    (tmp_path / "feedback/gate").mkdir(parents=True)
    (tmp_path / "feedback/gate/open.csv").write_text("clip,frame,label\nday,1,odd\n")
    assert "open.csv: line 2: label: 'odd'" in said()
