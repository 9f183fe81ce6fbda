"""The server of the page: what it answers, and how it begins and ends."""

import asyncio
import contextlib
import errno
import json
import secrets
import shlex
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from sdor.errors import SdorError, say
from sdor.files import About
from sdor.operator.marks import OtherRoundError
from sdor.operator.page import TEMPLATES
from sdor.operator.review.film import Films, write_film
from sdor.operator.review.listing import listed
from sdor.operator.review.marking import GIVEN, ID, Camera, ConflictError, Wanted
from sdor.operator.review.run import Command, Run
from sdor.operator.review.safety import EVERYWHERE, Guard, is_loopback
from sdor.operator.rounds import damage_before
from sdor.study.rounds import FEEDBACK

RESULTS = Path("results")
KINDS = {"review.js": "text/javascript", "review.css": "text/css"}
KEPT = {"cache-control": "private, max-age=3600"}  # of what is named after its list
FAR = ("192.0.2.1", 9)  # an address that nobody has; nothing is sent there


def review(scenes: Sequence[str], host: str, port: int, *, command: Command, learn: bool) -> None:
    """Serve the page of cameras, or of all that there are, until Ctrl-C.

    Parameters
    ----------
    command : that learns from a round.
    learn : the page is to run it.

    Raises
    ------
    SdorError : there is no list, no such camera, the files of all are damaged, or the port is
        taken.
    """
    cameras = cameras_of(scenes, command)
    _look_at(cameras)
    if learn and not command.noted:
        raise SdorError(
            "--learn: nobody knows how the list was made; do it once more: "
            f"{shlex.join(command.words)}"
        )
    if command.lacks:
        words = f"{command.lacks}: is not there, and the command of the list names it; make it "
        words += f"once more here, with the paths that there are: {shlex.join(command.words)}"
        if learn:
            raise SdorError(f"--learn: {words}")
        say(words)
    token = "" if is_loopback(host) else secrets.token_urlsafe(24)
    listening = _listen(host, port)
    port = listening.getsockname()[1]
    address = f"http://{_shown(host)}:{port}/" + (f"?token={token}" if token else "")
    run = Run(command) if learn else None
    with tempfile.TemporaryDirectory(prefix="sdor-review-") as folder:
        films = Films(Path(folder), lambda: server.should_exit)
        app = application(cameras, films, command, run)
        guard = Guard(app, host=host, port=port, token=token)
        config = uvicorn.Config(guard, log_level="error", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        print(f"{address}  (Ctrl-C ends it; marks are in {FEEDBACK.resolve()})", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listening])


def _look_at(cameras: Mapping[str, Camera]) -> None:
    """Say what hinders cameras (SdorError: all of them)."""
    faults = list[SdorError]()
    for name, camera in cameras.items():
        try:
            listing, _, _ = camera.listing, camera.state, camera.listing.document
        except SdorError as error:
            faults.append(error)
            continue
        if not listing.root.is_dir():
            say(f"camera {name}: no video at {listing.root}; what was made of it is shown alone")
        if damage := damage_before(listing.folder):
            say(f"camera {name}: {damage}")
    if len(faults) == len(cameras):
        raise faults[0]
    for fault in faults:
        say(f"{fault}; the other cameras are shown")


def cameras_of(scenes: Sequence[str], command: Command) -> dict[str, Camera]:
    """The cameras that were asked for, or all of which there is a list here; a command makes it.

    Raises
    ------
    SdorError : there is none, or not one of those.
    """
    there = listed(RESULTS)
    if not there:
        raise SdorError(
            f"{RESULTS.resolve()}: no watchlist; this makes one here: {shlex.join(command.words)}"
        )
    for scene in scenes:
        if scene not in there:
            raise SdorError(f"no watchlist of a camera {scene!r} here; there is {', '.join(there)}")
    return {name: Camera(name, there[name], FEEDBACK / name) for name in scenes or there}


def application(
    cameras: Mapping[str, Camera], films: Films, command: Command, run: Run | None
) -> Starlette:
    """The page without its guard.

    Parameters
    ----------
    films : that are made. command : that learns from a round, as it is printed.
    run : what runs it, if the page is to.
    """
    return Starlette(routes=_Page(cameras, films, command, run).routes(), lifespan=_ending(run))


def _ending(run: Run | None) -> Callable[[Starlette], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        yield
        if run:
            await asyncio.to_thread(run.stop)

    return lifespan


class _Page:
    """What is answered."""

    def __init__(
        self, cameras: Mapping[str, Camera], films: Films, command: Command, run: Run | None
    ) -> None:
        self._cameras, self._films = cameras, films
        self._command, self._run = command, run
        loader = jinja2.FileSystemLoader(TEMPLATES)
        self._templates = jinja2.Environment(
            loader=loader, autoescape=True, undefined=jinja2.StrictUndefined
        )

    def routes(self) -> list[Route]:
        """Its addresses."""
        posts = {"mark": self.mark, "undo": self.undo, "finish": self.finish, "learn": self.learn}
        return [
            Route("/", self.page),
            *(Route(f"/{name}", self.file) for name in KINDS),
            Route("/favicon.ico", lambda _: Response(status_code=204)),
            Route("/list", self.list),
            Route("/state", self.state),
            *(Route(f"/{name}", self.post(does), methods=["POST"]) for name, does in posts.items()),
            Route("/media/{camera}/{event}/{view}", self.media),
        ]

    def page(self, request: Request) -> Response:
        """The page, which asks for the rest."""
        del request
        page = self._templates.get_template("review.html.j2")
        command = shlex.join(self._command.words)
        return HTMLResponse(page.render(cameras=[*self._cameras], command=command))

    def file(self, request: Request) -> Response:
        """A file that the page consists of."""
        name = request.url.path[1:]
        return FileResponse(TEMPLATES / name, media_type=KINDS[name])

    def list(self, request: Request) -> Response:
        """The moments of a camera."""

        def found() -> About:
            document = self._camera(request.query_params.get("camera")).listing.document
            cards = self._templates.get_template("review_list.html.j2")
            return {**document, "html": cards.render(document)}

        return _answer(found)

    def state(self, request: Request) -> Response:
        """The marks of a camera."""
        return _answer(lambda: self._state(self._camera(request.query_params.get("camera"))))

    def post(self, does: Callable[[Camera, About], None]) -> Callable[[Request], Any]:
        """An address that something is sent to; it answers with the state after it."""

        async def answer(request: Request) -> Response:
            try:
                asked = json.loads(await request.body())
            except (ValueError, RecursionError) as error:
                raise HTTPException(400, "this is no JSON") from error
            if not isinstance(asked, dict):
                raise HTTPException(400, "this is no object")

            def done() -> About:
                camera = self._camera(asked.get("camera"))
                does(camera, asked)
                return self._state(camera)

            return await run_in_threadpool(_answer, done)

        return answer

    def mark(self, camera: Camera, asked: About) -> None:
        """A moment is an anomaly, normal or skipped."""
        name, event, label = (_text(asked, key) for key in ("id", "event", "label"))
        if not ID.fullmatch(name) or label not in GIVEN:
            raise HTTPException(400, "no such mark")
        wanted = Wanted(name, event, label, asked.get("similar") is True, _round(asked))
        camera.mark(wanted, _text(asked, "ranking"))

    def undo(self, camera: Camera, asked: About) -> None:
        """The last mark is taken back."""
        camera.undo(_text(asked, "undo"), _round(asked))

    def finish(self, camera: Camera, asked: About) -> None:
        """The round is closed, and learnt from where that is asked for."""
        camera.book.finish(_round(asked))
        if self._run:
            self._run.start(anew=True)  # a run at work knows the rounds before

    def learn(self, camera: Camera, asked: About) -> None:
        """What failed is run again."""
        del camera, asked
        if self._run is None:
            raise HTTPException(409, "start sdor review with --learn")
        self._run.start()

    async def media(self, request: Request) -> Response:
        """Picture, heat, curve or film of a moment, by its name out of what there is."""
        asked = request.path_params
        event, name = asked["event"], asked["view"]
        try:
            listing = await run_in_threadpool(lambda: self._camera(asked["camera"]).listing)
            if name == "picture.jpg":
                return _file(listing.preview(event, ".jpg"))
            if name == "heat.png":
                content = await run_in_threadpool(listing.heat_of, event)
                return Response(content, media_type="image/png", headers=KEPT)
            if name == "curve":
                return await run_in_threadpool(_answer, lambda: listing.curve(event))
            view = listing.view(event, name.removesuffix(".mp4"))
            film = await self._films.film(
                (listing.camera, listing.ranking, event, name),
                lambda output: write_film(view.pieces, output, full=view.full),
                request.is_disconnected,
            )
        except KeyError as error:
            raise HTTPException(404, "there is no such moment") from error
        except SdorError as error:
            # Where the video is gone, what was made of it when it was there is left.
            if name == "loop.mp4" and (path := listing.preview(event, ".mp4")):
                return _file(path)
            raise HTTPException(404, str(error)) from error
        return _file(film) if film else Response(status_code=204)

    def _camera(self, name: object) -> Camera:
        if not isinstance(name, str) or name not in self._cameras:
            raise HTTPException(404, "there is no such camera")
        return self._cameras[name]

    def _state(self, camera: Camera) -> About:
        run, state = self._run, camera.state
        learning = {"at_work": run.at_work, "line": run.line, "failed": run.failed} if run else None
        if run and run.at_work:
            words = f"The next list is being made: {run.line}"
        elif state["learnt"]:
            words = ""
        elif run:
            words = (
                f"The run has failed: {run.line}" if run.failed else "The next list is not made:"
            )
        else:
            words = f"Round {state['round'] - 1} is finished. This makes the next list, "
            words += f"in {self._command.folder.absolute()}:"
        command = shlex.join(self._command.words)
        return {**state, "command": command, "next": words, "run": learning}


def _answer(find: Callable[[], About]) -> Response:
    """What is found, as JSON, or why it is not."""
    try:
        return JSONResponse(dict(find()))
    except (ConflictError, OtherRoundError) as error:
        return JSONResponse({"error": str(error)}, 409)
    except SdorError as error:
        failed = isinstance(error.__cause__, OSError)  # a disk that is full or gone
        return JSONResponse({"error": str(error)}, 507 if failed else 422)


def _file(path: Path | None) -> Response:
    if path is None:
        raise HTTPException(404, "there is no picture of it")
    return FileResponse(path, headers=KEPT)


def _text(asked: About, key: str) -> str:
    value = asked.get(key)
    if not isinstance(value, str):
        raise HTTPException(400, f"{key}: a text is wanted")
    return value


def _round(asked: About) -> int:
    number = asked.get("round")
    if not isinstance(number, int) or isinstance(number, bool):
        raise HTTPException(400, "no such round")
    return number


def _shown(host: str) -> str:
    """What a browser finds this machine by: where it listens everywhere, its way to others."""
    if host in EVERYWHERE:
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way,
        ):
            way.connect(FAR)
            return str(way.getsockname()[0])
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens there (SdorError: it cannot)."""
    if not host:
        raise SdorError("--host: is empty; give a name or an address of this machine")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = None
    try:
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen()  # so that the address answers as soon as it is printed
    except (OSError, OverflowError, UnicodeError) as error:
        if listening:
            listening.close()
        if isinstance(error, UnicodeError) or _is_of_host(error):
            raise SdorError(
                f"--host: {host} is no name or address of this machine; give one, as 127.0.0.1, or "
                "0.0.0.0 for all"
            ) from error
        why = error.strerror if isinstance(error, OSError) else "no such port"
        raise SdorError(
            f"{host}:{port}: cannot listen there ({why}); choose another --port"
        ) from error
    return listening


def _is_of_host(error: Exception) -> bool:
    """Whether it is the host that nobody can listen at, not its port."""
    codes = errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL
    return isinstance(error, socket.gaierror) or getattr(error, "errno", 0) in codes
