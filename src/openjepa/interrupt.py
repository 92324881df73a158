"""Ctrl-C and SIGTERM as a question that the loop asks after each step."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def signals() -> Iterator[Callable[[], bool]]:
    """SIGINT and SIGTERM ask for a stop after the running step; a second one acts as usual.

    It does so also where they were ignored before, as a shell starts what it puts in the background.
    """
    usual: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    asked: list[int] = []
    before: dict[int, Any] = {}

    def ask(number: int, frame: object) -> None:
        asked.append(number)
        signal.signal(number, before[number] if callable(before[number]) else usual[number])

    try:
        for number in usual:
            before[number] = signal.getsignal(number)
            signal.signal(number, ask)
    except ValueError:  # not in the main thread: signals cannot be caught there
        pass
    try:
        yield lambda: bool(asked)
    finally:
        for caught, handler in before.items():
            signal.signal(caught, handler)
