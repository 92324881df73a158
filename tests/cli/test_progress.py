"""What is said while training: lines that grep can read, a panel on a terminal."""

import io
import time

from openjepa.cli.progress import Progress, duration, spark

START = {
    "kind": "start",
    "out": "runs/a",
    "run": {"recipe": "image.ijepa", "device": "cpu", "precision": "float32"},
    "step": 0,
    "steps": 100,
    "images": 1234,
    "why": "asked for",
}
LOG = {"kind": "log", "step": 20, "epoch": 1.25, "loss": 0.123456, "verdict": "position collapse", "advice": "turn it", "lr": 1e-3, "images_per_s": 1240.4, "data_wait": 0.041, "memory_mb": 612.3, "health/std": 1.0}  # fmt: skip


def test_off_a_terminal_every_log_is_one_line_of_key_value():
    stream = io.StringIO()
    with Progress(stream=stream) as progress:
        progress(START)
        progress.began -= 10  # ten seconds for twenty steps
        progress(LOG)
        progress(LOG | {"step": 100, "verdict": "learning", "knn": 0.25})
        progress({"kind": "save", "step": 100, "path": "runs/a/checkpoints/00000100"})
        progress({"kind": "bad", "path": "a\nb.jpg", "reason": "empty"})
        progress({"kind": "something new"})
    head, one, two, saved, bad = stream.getvalue().splitlines()
    assert "image.ijepa" in head and "1,234 images" in head and "asked for" in head
    assert one == (
        'step=20/100 epoch=1.25 loss=0.1235 verdict="position collapse" lr=0.001 images_per_s=1240 data_wait=0.041 memory_mb=612.3 eta_s=40'
    )
    assert "verdict=learning" in two and "knn=0.25" in two and "eta_s=0" in two
    assert saved == "saved=runs/a/checkpoints/00000100"
    assert bad == "not used: 'a\\nb.jpg': empty"
    assert "\x1b" not in stream.getvalue()


def test_the_eta_counts_the_steps_of_this_call_only():
    progress = Progress(stream=io.StringIO())
    progress(START | {"step": 50})
    assert progress.eta() is None
    progress.began -= 30
    progress(LOG | {"step": 60})
    assert abs(progress.eta() - 120) < 1


def test_quiet_says_nothing():
    stream = io.StringIO()
    with Progress(stream=stream, quiet=True) as progress:
        for event in (START, LOG):
            progress(event)
    assert stream.getvalue() == ""


def test_on_a_terminal_a_panel_shows_the_six_numbers_and_gives_the_terminal_back():
    stream = io.StringIO()
    with Progress(stream=stream, live=True) as progress:
        progress.console._force_terminal, progress.console.width = True, 160
        progress(START)
        progress(LOG | {"knn": 0.5})
        assert "step=20" not in stream.getvalue()
        with progress.console.capture() as seen:
            progress.console.print(progress.panel())
    text = seen.get()
    for part in (
        "step 20/100",
        "loss 0.1235",
        "position collapse",
        "turn it",
        "1,240 samples/s",
        "waiting for data 4 %",
        "ETA",
        "kNN 50.0 %",
    ):
        assert part in text, text
    assert stream.getvalue().count("\x1b[?25h") == 1  # the cursor is back


def test_the_panel_before_the_first_log_and_without_a_loss():
    progress = Progress(stream=io.StringIO())
    progress(START)
    progress(LOG | {"loss": None, "step": 0, "images_per_s": None})
    progress.console.print(progress.panel())
    assert progress.losses == []


def test_durations_and_sparks():
    assert [duration(s) for s in (0.04, 9.96, 59.4, 130, 3599.6, 11100, 187200)] == [
        "0.0s",
        "10.0s",
        "59s",
        "2m10s",
        "1h00m",
        "3h05m",
        "2d04h",
    ]
    assert spark([0, 1, 2, 7]) == "▁▂▃█" and spark([3.0, 3.0]) == "▁▁" and spark([]) == ""
    assert time.monotonic() > 0
