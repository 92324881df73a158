import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from openjepa.data.dataset import Files, open_dataset
from openjepa.data.ledger import LedgerEntry, TooManyBad, read_ledger
from openjepa.data.loader import Loaded, Loader, WorkerDied, rows_of_step
from openjepa.data.manifest import scan
from openjepa.run import Run
from openjepa.tokens import Batch, Masks
from openjepa.train import train
from tests.data.pictures import MODALITY, png, write
from tests.tiny import RUN, photos, run_on

MAKE = RUN.batch


def batches(
    dataset: Files, workers: int, start: int = 0, steps: int = 5, batch_size: int = 4
) -> list[tuple[int, Batch, list[LedgerEntry]]]:
    loader = Loader(dataset, MAKE, seed=1, batch_size=batch_size, start=start, steps=steps, workers=workers, pin=False)
    return [(step, batch, entries) for step, batch, entries, _ in loader]


def allowing(max_bad: float, run: Run) -> Run:
    return replace(run, data=replace(run.data, max_bad=max_bad))


def equal(a: Batch, b: Batch) -> bool:
    tensors = [(*x.views, *(t for m in x.masks for t in (m.context, m.targets))) for x in (a, b)]
    return all(torch.equal(s, t) for s, t in zip(*tensors, strict=True))


# -- which samples


def test_every_epoch_has_every_sample_once_whatever_the_batch():
    """Also where an epoch ends inside a batch."""
    n, size = 23, 5
    seen = np.concatenate([rows_of_step(4, step, size, n) for step in range(23)])
    epochs = seen.reshape(5, n)
    assert all(sorted(epoch) == list(range(n)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 5
    assert not np.array_equal(rows_of_step(5, 0, size, n), rows_of_step(4, 0, size, n))
    assert np.array_equal(rows_of_step(4, 17, size, n), seen[17 * size : 18 * size])


def test_a_batch_larger_than_the_data():
    with pytest.raises(ValueError, match=r"batch of 8 .* has 7 samples; set --batch-size 7 or lower"):
        rows_of_step(0, 0, 8, 7)
    assert sorted(rows_of_step(0, 3, 7, 7)) == list(range(7))


def test_training_refuses_a_batch_larger_than_the_data(tmp_path: Path):
    with pytest.raises(ValueError, match="batch of 4 is larger than the data, which has 1 samples"):
        train(run_on(write(tmp_path / "d", ["1.png"])), tmp_path / "run")


# -- the same bits


@pytest.mark.parametrize("cache", ["off", "on"])
def test_workers_and_cache_do_not_change_a_bit(tmp_path: Path, cache: str):
    data = photos(tmp_path / "d")
    plain, _ = open_dataset(str(data), MODALITY, "off")
    dataset, _ = open_dataset(str(data), MODALITY, cache)
    want = batches(plain, 0)
    for workers in (0, 1, 2):
        got = batches(dataset, workers)
        assert [step for step, *_ in got] == [0, 1, 2, 3, 4]
        assert all(equal(a[1], b[1]) for a, b in zip(got, want, strict=True))
    later = batches(dataset, 2, start=3)
    assert [step for step, *_ in later] == [3, 4] and equal(later[1][1], want[4][1])


def test_bad_files_give_way_to_the_same_neighbours_everywhere(tmp_path: Path):
    data = photos(tmp_path / "d")
    for k in (3, 4, 11):  # two in a row, and the last, whose neighbour is the first
        path = data / f"{k:03d}.jpg"
        path.write_bytes(path.read_bytes()[:300])
    plain, _ = open_dataset(str(data), MODALITY, "off")
    want = batches(plain, 0)
    for dataset in (plain, open_dataset(str(data), MODALITY, "on")[0]):
        for workers in (0, 2):
            got = batches(dataset, workers)
            assert all(equal(a[1], b[1]) for a, b in zip(got, want, strict=True))
            assert {entry.path for *_, entries in got for entry in entries} == {"003.jpg", "004.jpg", "011.jpg"}
    images, rows, entries = Loader(plain, MAKE, seed=0, batch_size=4, start=0, steps=1, workers=0, pin=False).steps.read(
        9, np.array([4, 11, 3, 7])
    )
    assert rows.tolist() == [5, 0, 5, 7] and [entry.step for entry in entries] == [9] * 4
    assert torch.equal(images[1], plain.read([0])[0])


@pytest.mark.parametrize("workers", [0, 1])
def test_data_without_a_readable_file_stops(tmp_path: Path, workers: int):
    data = photos(tmp_path / "d")
    dataset, _ = open_dataset(str(data), MODALITY, "off")
    for path in data.iterdir():
        path.write_text("words")
    with pytest.raises(ValueError, match=r"step 0: 0\d\d\.jpg cannot be read, nor any of the .* files after it"):
        batches(dataset, workers)


def test_notes_reach_the_ledger_from_a_worker(tmp_path: Path):
    from PIL import Image as Picture

    data = photos(tmp_path / "d")
    frames = [Picture.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    frames[0].save(data / "moving.gif", save_all=True, append_images=frames[1:])
    dataset, _ = open_dataset(str(data), MODALITY, "off")
    for workers in (0, 1):
        entries = [entry for *_, found in batches(dataset, workers, steps=4) for entry in found]
        assert {(entry.path, entry.kind) for entry in entries} == {("moving.gif", "note")}


def test_what_is_loaded_can_be_pinned(monkeypatch: pytest.MonkeyPatch):
    """Every tensor of a batch; the real thing needs a GPU."""
    pinned: list[torch.Tensor] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: (pinned.append(self), self)[1])
    masks = Masks(torch.arange(6).reshape(2, 3), torch.arange(8).reshape(2, 2, 2))
    loaded = Loaded(Batch((torch.zeros(2, 3, 4, 4),), (masks,)), [LedgerEntry("a", "b")])
    again = loaded.pin_memory()
    assert len(pinned) == 3 and equal(again.batch, loaded.batch) and again.entries == loaded.entries


@pytest.mark.gpu
def test_pinned_batches_on_a_gpu(tmp_path: Path):
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    dataset, _ = open_dataset(str(photos(tmp_path / "d")), MODALITY, "off")
    loader = Loader(dataset, MAKE, seed=1, batch_size=4, start=0, steps=3, workers=1, pin=True)
    for _, batch, _, _ in loader:
        assert batch.views[0].is_pinned() and batch.masks[0].context.is_pinned()


# -- what goes wrong while training


def test_files_that_disappear_during_training(tmp_path: Path):
    """Training goes on with their neighbours, and the ledger has them with the step."""
    data = photos(tmp_path / "d")

    def remove(event: dict[str, object]) -> None:
        if event["kind"] == "log" and event["step"] == 2:
            for k in (2, 7):
                (data / f"{k:03d}.jpg").unlink(missing_ok=True)

    told: list[str] = []
    result = train(
        allowing(0.2, run_on(data)),
        tmp_path / "run",
        on_event=lambda event: (remove(event), told.append(str(event.get("path"))) if event["kind"] == "bad" else None),
    )
    assert result.steps == 10
    entries = read_ledger(tmp_path / "run/ledger.jsonl")
    assert {entry.path for entry in entries} == {"002.jpg", "007.jpg"} == set(told)
    assert all(entry.reason == "unreadable: No such file or directory" and (entry.step or 0) >= 2 for entry in entries)


@pytest.mark.parametrize("workers", [0, 1])
def test_too_many_bad_files_stop_training_with_the_list(tmp_path: Path, workers: int):
    data = photos(tmp_path / "d")
    for k in (2, 7):
        (data / f"{k:03d}.jpg").write_text("words")
    with pytest.raises(TooManyBad) as caught:
        train(allowing(0.1, run_on(data, workers=workers)), tmp_path / "run")
    assert "002.jpg: not an image" in str(caught.value) and "007.jpg: not an image" in str(caught.value)


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Fail, rather than hang. In the main thread, as training is."""

    def late(number: int, frame: object) -> None:
        pytest.fail(f"still waiting after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Slow(Files):
    """Long enough in a worker that it is killed there."""

    def read(self, rows: object, at: object = None) -> list[torch.Tensor]:
        time.sleep(0.2)
        return super().read(rows, at)  # type: ignore[arg-type,return-value]


@pytest.mark.skipif(sys.platform != "linux", reason="finds the worker in /proc")
def test_a_killed_worker_is_a_clear_error_and_no_hang(tmp_path: Path):
    """At the next batch: not in the middle of the step that runs meanwhile."""
    dataset = Slow(scan(photos(tmp_path / "d")), MODALITY)
    loader = Loader(dataset, MAKE, seed=1, batch_size=4, start=0, steps=500, workers=1, pin=False)
    done = 0
    with within(60), pytest.raises(WorkerDied, match=r"a loader process died .*--workers 0"):
        for step, *_ in loader:
            if step == 1:
                for child in multiprocessing.active_children():
                    os.kill(child.pid or 0, signal.SIGKILL)
                time.sleep(0.5)
            done = step + 1
    assert done >= 2


def test_a_worker_outlives_the_first_sigterm(tmp_path: Path):
    """`timeout` and schedulers send it to the whole group; the main process still needs batches until it has saved."""
    dataset, _ = open_dataset(str(photos(tmp_path / "d")), MODALITY, "off")
    loader = Loader(dataset, MAKE, seed=1, batch_size=4, start=0, steps=12, workers=1, pin=False)
    seen = []
    with within(60):
        for step, *_ in loader:
            seen.append(step)
            for child in multiprocessing.active_children() if step == 1 else []:
                child.terminate()
    assert seen == list(range(12))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_pipe_among_the_files_does_not_hang_training(tmp_path: Path, workers: int):
    data = photos(tmp_path / "d")
    dataset, _ = open_dataset(str(data), MODALITY, "off")
    (data / "005.jpg").unlink()
    os.mkfifo(data / "005.jpg")
    found: list[LedgerEntry] = []
    with within(60):
        found.extend(e for *_, entries in batches(dataset, workers) for e in entries)
    assert {entry.path for entry in found} == {"005.jpg"} and "not a regular file" in found[0].reason


def test_names_that_are_not_utf8_go_through_training(tmp_path: Path):
    """Into run.json, the ledger and the events."""
    data = photos(tmp_path / "d")
    for name, content in ((b"caf\xe9.jpg", b"words"), (b"new\nline.png", png())):
        with open(os.path.join(os.fsencode(data), name), "wb") as file:
            file.write(content)
    train(allowing(0.5, run_on(data)), tmp_path / "run")
    assert {entry.path for entry in read_ledger(tmp_path / "run/ledger.jsonl")} == {"caf\\xe9.jpg"}
