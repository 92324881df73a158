"""Train live: start and stop the training process of this server, and see how far it is."""

from dataclasses import dataclass

from openjepa.explore.routes import Answer, Query, get, post
from openjepa.explore.shelf import Shelf
from openjepa.explore.training import Status

ANSWERS = (Status,)  # defined elsewhere; the page needs its type, too


@dataclass(frozen=True)
class Nothing:
    """A question without words."""


@post("live/start", Nothing, models=False)
def start(shelf: Shelf, _: Nothing) -> Answer:
    """A new run, unless one trains already. It is listed at once, and ends with the server."""
    out = shelf.live.start()
    shelf.extra[out.name] = out
    if shelf.live.stop not in shelf.closing:
        shelf.closing.append(shelf.live.stop)
    return Answer(shelf.live.status())


@post("live/stop", Nothing, models=False)
def stop(shelf: Shelf, _: Nothing) -> Answer:
    """It saves first, and can be resumed."""
    shelf.live.stop()
    return Answer(shelf.live.status())


@get("live")
def live(shelf: Shelf, _: Query) -> Answer:
    return Answer(shelf.live.status())
