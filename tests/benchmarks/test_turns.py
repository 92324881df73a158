"""Turns: the slower variant is called slower, memory is each one's own."""

import json
import time
from collections.abc import Callable
from functools import partial

from benchmarks.turns import show, take_turns


def sleeper(seconds: float, megabytes: int) -> Callable[[], object]:
    held = b"x" * (megabytes << 20)

    def step() -> int:
        time.sleep(seconds)
        return len(held)

    return step


def test_variants_are_measured_apart(capsys):
    measured = take_turns({"slow": partial(sleeper, 0.2, 300), "fast": partial(sleeper, 0.05, 0)}, rounds=3, warmup=1)
    assert list(measured) == ["slow", "fast"] and measured["slow"].seconds > measured["fast"].seconds > 0.04
    assert measured["slow"].peak_mb > measured["fast"].peak_mb + 200
    show("sleep", 4, measured, {"slow": "slow"}, {"fast": 0.5}, as_json=True)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[0]["x slow"] == 1 and rows[1]["x slow"] > 1.5 and rows[1]["flops_utilisation"] == 0.5
    show("sleep", 4, measured, {"slow": "slow"}, {}, as_json=False)
    assert "sleep, batch 4" in capsys.readouterr().out
