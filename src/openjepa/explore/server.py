"""The web server: guards at the door, one worker that owns the models, the newest question of a panel first."""

import json
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount
from starlette.routing import Route as Address

from openjepa.explore import wire
from openjepa.explore.door import Door
from openjepa.explore.inputs_api import LARGEST
from openjepa.explore.pages import Pages
from openjepa.explore.routes import Answer, Problem, Raw, Route, Upload, read_asked, routes_of
from openjepa.explore.shelf import Shelf
from openjepa.explore.worker import Worker, waited

# each answers what its functions are marked with
MODULES = ("runs_api", "inputs_api", "jepa_api", "mae_api", "dashboard", "comparing", "masks_api", "film", "sound_api", "heads_api", "live")
BASE = "/api/v1/"
LARGEST_QUESTION = 2**20  # bytes of a JSON body
PORT, TRIES = 8642, 20  # not Gradio's, TensorBoard's or Jupyter's


def build(shelf: Shelf, door: Door, modules: Sequence[str] = MODULES) -> Starlette:
    """The application. `modules` are names below openjepa.explore."""
    worker = Worker(shelf.threads)
    addresses = [
        Address(BASE + route.path, partial(answer, shelf, worker, route), methods=[route.method])
        for name in modules
        for route in routes_of(import_module(f"openjepa.explore.{name}"))
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            worker.pool.shutdown(wait=False, cancel_futures=True)
            shelf.close()

    handlers: dict[Any, Any] = {HTTPException: not_found, Exception: crashed}
    inside = Starlette(routes=[*addresses, Mount("/", Pages())], lifespan=lifespan, exception_handlers=handlers)
    inside.add_middleware(Guarded, door=door)
    return inside


class Guarded:
    """Every request passes the door first, and every answer carries its rules for the page."""

    def __init__(self, app: Any, door: Door) -> None:
        self.app, self.door = app, door

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        refusal = self.door.refusal(request)

        async def with_rules(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self.door.headers(request)]}
            await send(message)

        await (self.app if refusal is None else problem(refusal))(scope, receive, with_rules)


async def answer(shelf: Shelf, worker: Worker, route: Route, request: Request) -> Response:
    """Ask the function behind a route; whatever goes wrong becomes a problem, and the server stays up."""
    try:
        if route.method == "GET":
            asked: Any = {**dict(request.query_params), **request.path_params}
        else:
            asked = await question(route, request)
        if route.models:
            return await told(shelf, worker, route, request, asked)
        beside: Callable[..., Any] = route.function
        return respond(await run_in_threadpool(beside, shelf, asked))
    except Problem as error:
        return problem(error)
    except ClientDisconnect:
        return Response(status_code=499)
    except Exception as error:  # noqa: BLE001 - the border to the browser: one broken request must not end the others
        return problem(as_problem(error))


async def told(shelf: Shelf, worker: Worker, route: Route, request: Request, asked: Any) -> Response:
    """A question that the worker answers."""
    who, number = request.headers.get("x-client", "") + "/" + request.headers.get("x-panel", ""), sequence(request)
    if who == "/":
        who = ""
    if who:
        worker.asked(who, number)
    result = await waited(worker.do(who, number, lambda: route.function(shelf, asked)))
    if isinstance(result, Iterator):
        first = await waited(worker.do(who, number, lambda: next(result, None)))  # an error here still is a problem
        return StreamingResponse(parts(worker, who, number, first, result, request), media_type="application/octet-stream")
    return respond(result)


async def question(route: Route, request: Request) -> Any:
    """The body as the dataclass that the route asks for. Another site's page cannot send these headers unasked."""
    if route.asks is Upload:
        if "x-name" not in request.headers:
            raise Problem(422, "wrong question", "the header X-Name is missing", "send the file's name in it")
        return Upload(await read_body(request, LARGEST), request.headers["x-name"], request.path_params)
    if request.headers.get("content-type", "").partition(";")[0].strip() != wire.JSON:
        raise Problem(415, "wrong media type", "send the question as application/json")
    body = await read_body(request, LARGEST_QUESTION)
    try:
        data = json.loads(body)
    except ValueError as error:
        raise Problem(422, "wrong question", f"the body is not JSON ({error})") from None
    return read_asked({**data, **request.path_params} if isinstance(data, dict) else data, route.asks or dict)


async def read_body(request: Request, most: int) -> bytes:
    """The whole body. Problem 413 as soon as it is larger than `most` bytes."""
    said = request.headers.get("content-length", "0")
    parts, size = list[bytes](), int(said) if said.isdigit() else 0
    if size <= most:
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > most:
                break
            parts.append(part)
    if size > most:
        raise Problem(413, "too large", f"more than {most:,} bytes came", "make the file smaller, or cut a part out of it")
    return b"".join(parts)


async def parts(
    worker: Worker, who: str, number: int, first: Answer | None, rest: Iterator[Answer], request: Request
) -> AsyncIterator[bytes]:
    """A stream, a part at a time: other questions come in between, and it ends when nobody listens or a newer one came."""
    found = first
    while found is not None:
        yield wire.message(found)
        if worker.stale(who, number) or await request.is_disconnected():
            return
        found = await waited(worker.do(who, number, lambda: next(rest, None)))


def sequence(request: Request) -> int:
    text = request.headers.get("x-seq", "0")
    return int(text) if text.isdigit() else 0


def respond(result: Answer | Raw) -> Response:
    if isinstance(result, Raw):
        return Response(result.data, media_type=result.media_type)
    data, media_type = wire.encode(result)
    return Response(data, media_type=media_type, headers={"cache-control": "no-store"})


def as_problem(error: Exception) -> Problem:
    """What a function raised, for the page. Mistakes of ours go to the terminal with their place."""
    text = str(error) or type(error).__name__
    what, _, change = text.partition("; ")
    if isinstance(error, LookupError) and not isinstance(error, KeyError | IndexError):
        return Problem(404, "not found", what, change)
    if isinstance(error, ValueError):
        return Problem(422, "cannot be answered", what, change)
    if isinstance(error, OSError):
        return Problem(503, "files cannot be read", text, "was the run folder moved or deleted?")
    if isinstance(error, MemoryError) or "allocate memory" in text:
        return Problem(507, "out of memory", text.splitlines()[0], "a smaller input, or fewer holes")
    import traceback

    traceback.print_exception(error, file=sys.stderr)
    return Problem(500, "a mistake in openjepa", f"{type(error).__name__}: {text}", "the terminal has the details; please report them")


def problem(error: Problem) -> Response:
    body = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "hint": error.hint,
        "fix": error.fix,
    }
    return JSONResponse(body, error.status, media_type="application/problem+json")


async def not_found(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(Problem(error.status_code, error.detail))


async def crashed(_: Request, error: Exception) -> Response:
    return problem(as_problem(error))


@dataclass(frozen=True)
class Place:
    """Where the page is."""

    host: str
    port: int
    token: str  # empty: none is needed

    @property
    def url(self) -> str:
        name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, f"[{self.host}]" if ":" in self.host else self.host)
        return f"http://{name}:{self.port}/" + (f"?token={self.token}" if self.token else "")


def listen(host: str, port: int | None) -> socket.socket:
    """A socket on `port`, or on the first free one from PORT. OSError when there is none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in [port] if port is not None else range(PORT, PORT + TRIES):
        # the protocol is named, for asyncio turns Nagle's delay off only where it is: 40 ms of every answer otherwise
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, number))
            sock.listen(128)
            return sock
        except OSError as error:
            sock.close()
            if port is not None:
                raise OSError(f"port {port} on {host} cannot be used ({error.strerror}); give another --port, or none") from None
    raise OSError(f"no free port from {PORT} to {PORT + TRIES - 1} on {host}; give one with --port")


def serve(
    folders: Sequence[Path],
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    allow_hosts: Sequence[str] = (),
    threads: int | None = None,
    device: str = "cpu",
    bundled: bool = True,
    ready: Callable[[Place], None] = lambda place: None,
) -> None:
    """Serve until interrupted. `ready` is called once the socket is open. ValueError for a folder without runs; OSError for a taken port."""

    import uvicorn

    threads = threads or max(1, (os.cpu_count() or 2) - 1)  # a torch on every core starves the browser (spec 2.4)
    shelf = Shelf(folders, device=device, bundled=bundled, threads=threads)
    sock = listen(host, port)
    loopback = host in ("127.0.0.1", "localhost", "::1")
    place = Place(host, sock.getsockname()[1], "" if loopback else secrets.token_urlsafe(24))
    app = build(shelf, Door(place.token, tuple(allow_hosts)))
    # critical: what goes wrong in an answer is printed by as_problem; beside that uvicorn tells of answers cut short by Ctrl-C, at length
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, timeout_graceful_shutdown=1))
    ready(place)
    server.run([sock])
