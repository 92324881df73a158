"""What a running training says on stderr: a live panel on a terminal, key=value lines elsewhere."""

import sys
import time
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

BARS = "▁▂▃▄▅▆▇█"


def duration(seconds: float) -> str:
    """4.2s, 2m10s, 3h05m, 2d04h."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    s = round(seconds)
    if s < 60:
        return f"{s}s"
    if s < 3600:
        return f"{s // 60}m{s % 60:02d}s"
    return f"{s // 3600}h{s % 3600 // 60:02d}m" if s < 86400 else f"{s // 86400}d{s % 86400 // 3600:02d}h"


def spark(values: list[float], width: int = 16) -> str:
    """The last values as a line of small bars."""
    values = values[-width:]
    low, high = min(values, default=0.0), max(values, default=0.0)
    return "".join(BARS[int((v - low) / (high - low or 1.0) * (len(BARS) - 1))] for v in values)


class Progress:
    """Takes the events of `train`. As a context manager it gives the terminal back whatever happens."""

    def __init__(self, *, stream: Any = None, live: bool | None = None, quiet: bool = False) -> None:
        self.stream = stream or sys.stderr
        self.quiet = quiet
        self.console = Console(file=self.stream, highlight=False)
        self.head = ""
        self.row: dict[str, Any] = {}
        self.losses: list[float] = []
        self.knn: list[float] = []
        self.saved: tuple[int, float] | None = None
        self.first = self.steps = self.bad = 0
        self.began = self.logged = time.monotonic()
        # rich knows TERM=dumb: a terminal that cannot move its cursor gets lines
        can = self.console.is_terminal and not self.console.is_dumb_terminal
        self.live: Live | None = None
        if (can if live is None else live) and not quiet:
            self.live = Live(get_renderable=self.panel, console=self.console, refresh_per_second=4, transient=True, redirect_stdout=False)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None

    def __call__(self, event: dict[str, Any]) -> None:
        """One event, as `train` gives them; kinds that are not known are left alone."""
        tell = getattr(self, f"on_{event['kind']}", None)
        if tell is not None:
            tell(event)

    # -- events

    def on_start(self, event: dict[str, Any]) -> None:
        info = event.get("run", {})
        self.first, self.steps = event["step"], event["steps"]
        self.began = self.logged = time.monotonic()
        self.head = f"{info.get('recipe') or 'run'} · {event['images']:,} {info.get('data', {}).get('kind', 'images')} · {info.get('device', '')} {info.get('precision', '')} · {event['out']}"
        why = f" ({event['why']})" if event.get("why") else ""
        resumed = f", from step {self.first}" if self.first else ""
        self.line(f"{self.head}{resumed}{why}")
        if self.live is not None:
            self.live.start()

    def on_log(self, event: dict[str, Any]) -> None:
        self.row, self.logged = event, time.monotonic()
        if event.get("loss") is not None:
            self.losses.append(event["loss"])
        if event.get("knn") is not None:
            self.knn.append(event["knn"])
        if self.live is None:
            self.line(self.plain(event))

    def on_save(self, event: dict[str, Any]) -> None:
        self.saved = event["step"], time.monotonic()
        if self.live is None:
            self.line(f"saved={event['path']}")

    def on_bad(self, event: dict[str, Any]) -> None:
        self.bad += 1
        self.line(f"not used: {event['path']!r}: {event['reason']}")

    def on_note(self, event: dict[str, Any]) -> None:
        self.line(f"note: {event['text']}")

    def on_probe(self, event: dict[str, Any]) -> None:
        self.line(event["text"])

    # -- how it looks

    def line(self, text: str) -> None:
        """A line that stays, above the live panel if there is one."""
        if self.quiet:
            return
        if self.live is not None:
            self.console.print(text, markup=False)
        else:
            print(text, file=self.stream, flush=True)

    def eta(self) -> float | None:
        """Seconds left, from the mean step since the start of this call."""
        done = self.row.get("step", 0) - self.first
        if done < 1:
            return None
        left: float = (self.steps - self.row["step"]) * (self.logged - self.began) / done
        return max(0.0, left - (time.monotonic() - self.logged))

    def plain(self, row: dict[str, Any]) -> str:
        """step=850/2000 epoch=3.2 loss=0.098 verdict=learning ...: for files and grep."""
        eta = self.eta()
        parts = {
            "step": f"{row['step']}/{self.steps}",
            "epoch": short(row.get("epoch")),
            "loss": short(row.get("loss")),
            "verdict": f'"{row["verdict"]}"' if " " in str(row.get("verdict", "")) else row.get("verdict"),
            "lr": short(row.get("lr")),
            "images_per_s": short(row.get("images_per_s")),
            "data_wait": short(row.get("data_wait"), 2),
            "memory_mb": short(row.get("memory_mb")),
            "knn": short(row.get("knn")),
            "eta_s": None if eta is None else f"{eta:.0f}",
        }
        return " ".join(f"{name}={value}" for name, value in parts.items() if value is not None)

    def panel(self) -> RenderableType:
        row, eta = self.row, self.eta()
        step = row.get("step", self.first)
        top = Table.grid(padding=(0, 2))
        top.add_row(
            Text(f"step {step}/{self.steps}", style="bold"),
            ProgressBar(total=max(self.steps, 1), completed=step, width=30),
            f"epoch {row.get('epoch', 0):.1f}",
            f"{row.get('images_per_s') or 0:,.0f} samples/s",
            f"waiting for data {100 * (row.get('data_wait') or 0):.0f} %",
            f"ETA {'-' if eta is None else duration(eta)}",
        )
        verdict = str(row.get("verdict", "starting"))
        style = "red" if verdict.endswith("collapse") else "green" if verdict == "learning" else "yellow"
        numbers = f"loss {short(row.get('loss')) or '-'}  {spark(self.losses)}"
        if self.knn:
            numbers += f"   kNN {100 * self.knn[-1]:.1f} %  {spark(self.knn)}"
        if self.saved:
            numbers += f"   saved step {self.saved[0]}, {duration(time.monotonic() - self.saved[1])} ago"
        if self.bad:
            numbers += f"   {self.bad} files not used"
        said = Text.assemble((verdict, f"bold {style}"), f": {row.get('advice') or 'the first steps'}")
        return Group(top, Text(numbers), said)


def short(value: Any, digits: int = 4) -> str | None:
    """A number in few digits; None stays None."""
    return None if value is None else f"{float(value):.{digits}g}"
