"""Who may talk to the page: a browser on this machine, or one that was given the token."""

import ipaddress
import re
import secrets
import socket
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PORT = re.compile(r":\d+$")
EVERYWHERE = ("0.0.0.0", "::")  # at all addresses of this machine
LARGEST = 4096  # bytes of what is sent here
HEADERS = {
    "content-security-policy": "default-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """What stands before the page.

    A name that somebody else's server gives this machine (DNS rebinding) is none that it is called
    by here, and what another page sends has that page's origin.

    Parameters
    ----------
    host, port : where it listens. token : that a browser must have been given; "" for no token.
    """

    def __init__(self, app: ASGIApp, *, host: str, port: int, token: str = "") -> None:
        self._app, self._port, self._token = app, port, token
        self._cookie = f"sdor-{port}"
        self._hosts = {"127.0.0.1", "localhost", "::1"}
        self._any_address = False
        if not is_loopback(host):
            self._hosts |= {host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}
            # An address is no name, so that nobody else says whose it is.
            self._any_address = host in EVERYWHERE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is refused, and pass the rest on; all answers have the same headers."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return None

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        answer = self._refusal(scope)
        if answer is None and scope["method"] == "POST":
            content = await _content(receive)
            if content is None:
                answer = PlainTextResponse(f"at most {LARGEST} bytes\n", 413)
            else:
                receive = _again(content, receive)
        return await (answer or self._app)(scope, receive, marked)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host, method = headers.get("host", ""), scope["method"]
        if not self._is_own(host):
            return PlainTextResponse("this page has no such name\n", 421)
        origin = headers.get("origin")
        if (method == "POST" or origin) and origin != f"http://{host}":
            return PlainTextResponse("this is for the page itself\n", 403)
        # What another page shows of this one would start work here.
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and scope["path"] != "/":
            return PlainTextResponse("this is for the page itself\n", 403)
        if method not in ("GET", "HEAD", "POST"):
            return PlainTextResponse("this cannot be done\n", 405)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if method == "POST" and kind != "application/json":
            return PlainTextResponse("application/json is wanted\n", 415)
        return self._stranger(scope, headers) if self._token else None

    def _stranger(self, scope: Scope, headers: Headers) -> Response | None:
        """The answer to a browser without the token's cookie."""
        # As browsers send them: other pages of this host may have cookies of any name.
        if self._fits(cookie_parser(headers.get("cookie", "")).get(self._cookie, "")):
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if not self._fits(given):
            return PlainTextResponse("open the address that sdor review has printed\n", 403)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
        return answer

    def _fits(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self._token.encode())

    def _is_own(self, given: str) -> bool:
        # Browsers leave the port 80 out.
        name, _, port = f"{given.lower()}{'' if PORT.search(given) else ':80'}".rpartition(":")
        if port != str(self._port):
            return False
        name = name.removeprefix("[").removesuffix("]")
        if name in self._hosts:
            return True
        try:
            return self._any_address and bool(ipaddress.ip_address(name))
        except ValueError:
            return False


async def _content(receive: Receive) -> bytes | None:
    """What was sent; None where it is too much."""
    content = b""
    while True:
        message = await receive()
        content += bytes(message.get("body", b""))
        if len(content) > LARGEST:
            return None
        if not message.get("more_body"):
            return content


def _again(content: bytes, receive: Receive) -> Receive:
    """What was sent, to be received once more."""
    first: list[Message] = [{"type": "http.request", "body": content}]

    async def replayed() -> Message:
        return first.pop() if first else await receive()

    return replayed
