"""Curves as SVG: no script, no library, readable as text by a screen reader."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from openjepa.report.text import number, safe

Point = tuple[float, float]
WIDTH, HEIGHT = 380, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 26
POINTS = 300  # drawn at most; more are averaged in groups


@dataclass(frozen=True)
class Line:
    """One curve: points by step, and the value of the untrained encoder where there is one."""

    name: str
    points: Sequence[Point]
    untrained: float | None = None


def chart(title: str, lines: Sequence[Line], note: str = "", zero: bool = False) -> str:
    """A figure of up to four lines over the same steps; "" when none has two points.

    `zero` keeps 0 on the axis. The axis is logarithmic when all values are positive and the largest
    is over 30 times the smallest, and says so.
    """
    lines = [line for line in lines if len(line.points) >= 2][:4]
    if not lines:
        return ""
    values = [y for line in lines for _, y in line.points] + [line.untrained for line in lines if line.untrained is not None]
    log = not zero and min(values) > 0 and max(values) > 30 * min(values)
    axes = Axes.over([x for line in lines for x, _ in line.points], [0.0, *values] if zero else values, log)
    parts = [axes.grid()]
    for i, line in enumerate(lines):
        if line.untrained is not None:
            y = axes.y(line.untrained)
            parts.append(
                f'<line class="ref c{i}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"><title>untrained</title></line>'
            )
        thin = thinned(line.points)
        path = "M" + "L".join(f"{axes.x(x):.1f} {axes.y(y):.1f}" for x, y in thin)
        parts.append(f'<path class="line c{i}" d="{path}"/>')
        x, y = thin[-1]
        parts.append(f'<circle class="dot c{i}" cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="2.6"/>')
    spoken = "; ".join(described(line) for line in lines)
    legend = "".join(key(i, line) for i, line in enumerate(lines))
    label = f"{title}{', logarithmic' if log else ''}"
    return (
        f"<figure class=chart><figcaption><b>{safe(label)}</b><span class=legend>{legend}</span></figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{safe(f"{label}. {spoken}")}">{"".join(parts)}</svg>'
        + (f"<p class=note>{note}</p>" if note else "")
        + "</figure>"
    )


def key(i: int, line: Line) -> str:
    """Swatch, name, last value, untrained value."""
    was = f" <span class=was>untrained {number(line.untrained)}</span>" if line.untrained is not None else ""
    swatch = f'<svg class=swatch viewBox="0 0 18 6" aria-hidden="true"><path class="line c{i}" d="M0 3H18"/></svg>'
    return f"<span>{swatch}{safe(line.name)} <b>{number(line.points[-1][1])}</b>{was}</span>"


def described(line: Line) -> str:
    (x0, y0), (x1, y1) = line.points[0], line.points[-1]
    was = f", untrained {number(line.untrained)}" if line.untrained is not None else ""
    return f"{line.name}: {number(y0)} at step {x0:.0f}, {number(y1)} at step {x1:.0f}{was}"


@dataclass(frozen=True)
class Axes:
    """From steps and values to pixels."""

    x0: float
    x1: float
    y0: float
    y1: float
    log: bool

    @classmethod
    def over(cls, xs: Sequence[float], ys: Sequence[float], log: bool) -> "Axes":
        low, high = min(ys), max(ys)
        if log:
            return cls(min(xs), max(xs), math.log10(low), math.log10(high), True)
        margin = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
        bottom = low if low == 0 else low - margin
        return cls(min(xs), max(xs), bottom, high + margin, False)

    def x(self, step: float) -> float:
        return LEFT + (step - self.x0) / ((self.x1 - self.x0) or 1) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = ((math.log10(value) if self.log else value) - self.y0) / ((self.y1 - self.y0) or 1)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def grid(self) -> str:
        """Ticks of both axes."""
        ticks = decades(self.y0, self.y1) if self.log else round_ticks(self.y0, self.y1, 4)
        parts = []
        for value in ticks:
            y = self.y(value)
            parts.append(f'<line class=grid x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{number(value)}</text>')
        for step in round_ticks(self.x0, self.x1, 4):
            parts.append(f'<text x="{self.x(step):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{number(step)}</text>')
        return f"<g aria-hidden=true>{''.join(parts)}</g>"


def round_ticks(low: float, high: float, about: int) -> list[float]:
    """Multiples of 1, 2 or 5 x 10^k between low and high."""
    if high <= low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def decades(low: float, high: float) -> list[float]:
    """Powers of ten between two exponents, with 3 x 10^k where there are few."""
    whole = [10.0**k for k in range(math.ceil(low), math.floor(high) + 1)]
    if len(whole) >= 3:
        return whole[:: math.ceil(len(whole) / 5)]
    return sorted(m * 10.0**k for k in range(math.floor(low), math.ceil(high) + 1) for m in (1, 3) if low <= math.log10(m) + k <= high)


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most POINTS of them, each the mean of its group; the first and the last stay."""
    if len(points) <= POINTS:
        return list(points)
    size = math.ceil((len(points) - 2) / (POINTS - 2))
    groups = [points[i : min(i + size, len(points) - 1)] for i in range(1, len(points) - 1, size)]
    means = [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]
    return [points[0], *means, points[-1]]


# ---- the verdict over time

KINDS = {"learning": "good", "warming up": "calm", "loss rising: richer targets": "good", "not learning": "warn"}


def kind(verdict: str) -> str:
    """good, calm, warn or bad: the colour of a verdict."""
    return "bad" if verdict.endswith("collapse") else KINDS.get(verdict, "calm")


def stretches(verdicts: Sequence[tuple[float, str]]) -> list[tuple[float, float, str]]:
    """Runs of the same verdict: first step, first step of the next (or the last step), verdict."""
    found: list[tuple[float, float, str]] = []
    for step, name in verdicts:
        if found and found[-1][2] == name:
            continue
        if found:
            found[-1] = (found[-1][0], step, found[-1][2])
        found.append((step, step, name))
    if found:
        found[-1] = (found[-1][0], verdicts[-1][0], found[-1][2])
    return found


def timeline(verdicts: Sequence[tuple[float, str]]) -> str:
    """A band of verdicts by step, and the same as a list."""
    parts = stretches(verdicts)
    if not parts:
        return ""
    start, end = parts[0][0], parts[-1][1]
    wide, left = 1000.0, 14.0
    span = (end - start) or 1
    bars = []
    for low, high, name in parts:
        x, width = left + (low - start) / span * (wide - 2 * left), max(2.0, (high - low) / span * (wide - 2 * left))
        text = f'<text x="{x + 8:.1f}" y="25">{safe(name)}</text>' if width > 7.5 * len(name) + 12 else ""
        bars.append(
            f'<g class="{kind(name)}"><rect x="{x:.1f}" y="4" width="{width:.1f}" height="34" rx="4"><title>{safe(name)}, '
            f"step {low:.0f} to {high:.0f}</title></rect>{text}</g>"
        )
    ticks = "".join(
        f'<text class=tick x="{left + (s - start) / span * (wide - 2 * left):.1f}" y="56" text-anchor="middle">{number(s)}</text>'
        for s in round_ticks(start, end, 8)
    )
    said = [f"step {low:,.0f} to {high:,.0f}: {safe(name)}" for low, high, name in parts]
    more = f"<li>and {len(said) - 12} more changes" if len(said) > 12 else ""
    listed = "".join(f'<li><i class="{kind(name)}"></i>{line}' for line, (_, _, name) in list(zip(said, parts, strict=True))[:12])
    return f'<svg class=timeline viewBox="0 0 {wide:.0f} 62" role="img" aria-label="Verdict by step">{"".join(bars)}{ticks}</svg><ul class=stretches>{listed}{more}</ul>'
