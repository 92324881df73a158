"""One thread that owns the models."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from openjepa.explore.routes import Problem


class Worker:
    """One thread that owns torch. Of one panel in one browser tab, a newer question makes those that wait void."""

    def __init__(self, threads: int) -> None:
        self.pool = ThreadPoolExecutor(1, "models", self.begin, (threads,))
        self.newest: dict[str, int] = {}
        self.lock = threading.Lock()

    @staticmethod
    def begin(threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)  # of this thread

    def asked(self, who: str, number: int) -> None:
        """A question came in."""
        with self.lock:
            if len(self.newest) > 10_000:  # tabs of months
                self.newest.clear()
            self.newest[who] = max(number, self.newest.get(who, number))

    def stale(self, who: str, number: int) -> bool:
        with self.lock:
            return bool(who) and self.newest.get(who, number) > number

    def do(self, who: str, number: int, work: Callable[[], Any]) -> "Future[Any]":
        """`work` in the thread, or Problem 409 when a newer question came while it waited."""

        def run() -> Any:
            if self.stale(who, number):
                raise Problem(409, "superseded", "a newer question of this panel came in")
            return work()

        return self.pool.submit(run)


async def waited(future: "Future[Any]") -> Any:
    """The worker's result, without holding up other requests."""
    return await asyncio.wrap_future(future)
