"""A diagnosis as text for a terminal."""

from collections.abc import Iterator
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from openjepa.doctor import Diagnosis
from openjepa.doctor.masks import MaskReport, heat_map


def text(found: Diagnosis) -> str:
    """Sections of plain lines, findings last."""
    parts = [machine(found), data(found), model(found), masks(found.masks) if found.masks else (), speed(found), findings(found)]
    return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part)))


def machine(found: Diagnosis) -> Iterator[str]:
    m = found.machine
    yield "machine"
    yield f"  {m['name']}, {m['cores']} cores, {m['threads']} threads" + (f", {m['free_mb']:,.0f} MB free" if m["free_mb"] else "")
    yield f"  openjepa {m['openjepa']}, python {m['python']}, torch {m['torch']}, {m['system']}"
    rates = ", ".join(f"{name} {rate:.2f}" for name, rate in m["tflops"].items())
    yield f"  TFLOP/s of a product of width {m['gemm_width']}: {rates}"
    yield f"  device {m['device']}, precision {m['precision']}: {m['why']}"


def data(found: Diagnosis) -> Iterator[str]:
    d = found.data
    if d is None:
        return
    yield "data"
    classes = ", ".join(f"{name} ({count})" for name, count in d["labels"].items()) or "none"
    yield f"  {d['path']}: {d['images']:,} {d['kind']}, indexed in {d['index_s']:.2g} s; labels: {classes}"
    if d["decoded"]:
        sides = " x ".join(span(*axis) for axis in d["decoded"])
        each = f", {d['decode_ms']:.2g} ms each" if d["decode_ms"] else ""
        yield f"  {d['sampled']} decoded: {sides}{each}" + ("; kept decoded on disk after the first reading" if d["cached"] else "")
    yield f"  not usable: {d['unusable']} while indexing, {d['sampled_bad']} of the {d['sampled']} decoded"
    yield from (f"    {path!r}: {reason}" for path, reason in d["bad"][:5])


def model(found: Diagnosis) -> Iterator[str]:
    m = found.model
    if m is None:
        return
    yield "model"
    yield f"  {m['tokens']} tokens per image ({' x '.join(map(str, m['grid']))})"
    yield f"  parameters: encoder {million(m['encoder'])}, predictor or decoder {million(m['rest'])}"
    yield f"  weights, gradients and optimizer {m['state'] / 2**20:,.0f} MB; a checkpoint {m['saved'] / 2**20:,.0f} MB"


def masks(report: MaskReport) -> Iterator[str]:
    yield f"masks ({report.samples:,} samples)"
    yield f"  context {span(*report.context)} tokens; {report.blocks} x {span(*report.targets)} tokens asked for"
    low, high = report.asked
    yield f"  {100 * low:.0f} to {100 * high:.0f} % of the places are asked for"
    left, right = heat_map(report.context_coverage), heat_map(report.target_coverage)
    width = max(34, len(left[0]) + 3)
    lines = [("in the context", "asked for"), (shares(report.context_coverage), shares(report.target_coverage))]
    for a, b in [*lines, *zip_longest(left, right, fillvalue="")]:
        yield f"  {a:{width}}{b}".rstrip()


def shares(coverage: NDArray[np.float64]) -> str:
    return f"per place {100 * coverage.min():.1f} to {100 * coverage.max():.1f} %"


def speed(found: Diagnosis) -> Iterator[str]:
    s = found.speed
    if s is None:
        return
    yield "speed"
    yield f"  {s['images_per_s']:,.3g} samples/s, {s['seconds']:.3g} s per step (timed on {s['batch']} samples, not compiled)"
    yield f"  data: {s['load_images_per_s']:,.3g} samples/s from {s['workers']} worker(s)"
    yield f"  memory at the peak about {s['expected_mb']:,.0f} MB"
    yield f"  the whole run: {duration(s['eta_s'])}"
    share = s["health"].get("position_share")
    if share is not None:
        yield f"  untrained: place explains {100 * share:.0f} % of the features, loss {s['loss']:.3g}"


def findings(found: Diagnosis) -> Iterator[str]:
    if not found.findings:
        yield "nothing to complain about"
    for finding in found.findings:
        yield f"{finding.level}: {finding.text}" + (f"\n  change: {finding.change}" if finding.change else "")


def span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"


def million(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count:,}"


def duration(seconds: float) -> str:
    """Rough: 40 s, 12 min, 3.5 h, 2.1 days."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {unit}" if seconds < 100 * size else f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} s"
