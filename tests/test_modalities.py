"""One recipe, many kinds of data: the same loop, resume, health, ledger, doctor and frozen encoder."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from openjepa import checkpoint
from openjepa.data.dataset import open_dataset, settled
from openjepa.doctor import examine
from openjepa.doctor.conformance import check
from openjepa.doctor.picture import first_batch, tiles
from openjepa.doctor.show import text
from openjepa.masks.random import Random
from openjepa.masks.tubes import Tube
from openjepa.metrics import read_metrics
from openjepa.modalities.audio import Audio
from openjepa.modalities.modality import BadSample, TooLong
from openjepa.modalities.points import Points
from openjepa.modalities.series import Series
from openjepa.modalities.table import Table
from openjepa.modalities.video import Video
from openjepa.run import DataConfig, Run
from openjepa.train import train
from tests.data.pictures import picture
from tests.tiny import RUN


def frames(folder):
    """Videos as folders of frames; one is short, one is broken."""
    for clip in range(8):
        inside = folder / f"clip{clip}"
        inside.mkdir(parents=True)
        for k in range(3 if clip == 0 else 9):
            picture(10 * clip + k, 24, 32).save(inside / f"{k:03}.png")
    (folder / "clip7/004.png").write_bytes(b"")
    (folder / "clip7/005.png").write_bytes(b"not a picture at all")
    return Video(size=(4, 16, 16), patch=(2, 8, 8), fps=None), Tube(ratio=0.5)


def sounds(folder):
    soundfile = pytest.importorskip("soundfile")
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(8):
        soundfile.write(folder / f"{i}.wav", 0.1 * rng.normal(size=4000 + 700 * i).astype(np.float32), 8000)
    (folder / "broken.wav").write_bytes(b"RIFF\0\0\0\0WAVE")
    return Audio(size=(32, 16), patch=(8, 8), rate=8000), Random(ratio=0.5)


def signals(folder):
    folder.mkdir()
    for i in range(8):
        np.save(folder / f"{i}.npy", np.sin(np.arange(30 + 9 * i) / (i + 2)) + np.arange(30 + 9 * i) / 50)
    (folder / "broken.npy").write_bytes(b"\x93NUMPY")
    return Series(size=(48,), patch=(6,)), Random(ratio=0.5)


def clouds(folder):
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(8):
        np.save(folder / f"{i}.npy", rng.normal(size=(80, 3)))
    (folder / "broken.npy").write_bytes(b"")
    return Points(size=(64,), groups=8, neighbours=6), Random(ratio=0.5)


def rows(folder):
    folder.mkdir()
    lines = [
        "a,b,colour,kind",
        *(f"{i / 7:.3f},{(i * i) % 5},{'red' if i % 3 else ''},{'odd' if i % 2 else 'even'}" for i in range(9)),
        "1,2",
    ]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    return Table(target="kind"), Random(ratio=0.5)


MADE = {"table": rows, "video": frames, "audio": sounds, "series": signals, "points": clouds}


def run_of(made, folder):
    modality, masks = made(folder)
    objective = replace(RUN.objective, masks=masks)
    data = DataConfig(path=str(folder), max_bad=0.5, cache="off")
    return Run(
        modality=modality, objective=objective, data=data, steps=4, batch_size=4, save_every=2, log_every=1, precision="float32", workers=0
    )


@pytest.mark.parametrize("kind", MADE)
def test_it_trains_resumes_to_the_bit_and_encodes(tmp_path, kind):
    run = run_of(MADE[kind], tmp_path / "data")
    train(run, tmp_path / "whole")
    saved = checkpoint.load_run(tmp_path / "whole").run
    assert saved.modality.settled and saved.modality.kind == run.modality.kind
    cut = train(replace(saved, steps=4), tmp_path / "cut", on_event=lambda e: None)
    assert cut.steps == 4
    for number in ("00000004",):
        for path in (tmp_path / "cut").glob("checkpoints/00000004"):
            path.rename(path.with_name(".gone"))
        train(saved, tmp_path / "cut", resume=True)
        a, b = (checkpoint.load_tensors(tmp_path / run / "checkpoints" / number / "objective.safetensors") for run in ("whole", "cut"))
        assert all(torch.equal(a[name], b[name]) for name in a)
    last = read_metrics(tmp_path / "whole/metrics.jsonl")[-1]
    assert np.isfinite(last["loss"]) and "verdict" in last
    encoder = checkpoint.load_encoder(tmp_path / "whole")
    dataset, _ = open_dataset(run.data.path, saved.modality)
    view = saved.modality.center(dataset.read([1, 2]))
    found = encoder.encode(view, resize=False)
    places = saved.modality.registers + int(np.prod(saved.modality.grid))
    assert found.tokens.shape[:2] == (2, places) and found.pooled.isfinite().all()
    ledger = [json.loads(line) for line in (tmp_path / "whole/ledger.jsonl").read_text().splitlines()]
    assert any(entry["kind"] == "bad" and entry["reason"] for entry in ledger)


@pytest.mark.parametrize("kind", MADE)
def test_the_doctor_looks_at_it(tmp_path, kind):
    run = run_of(MADE[kind], tmp_path / "data")
    found = examine(run, masks=20, steps=1)
    assert found.data["images"] >= 7 and found.data["kind"] == run.modality.kind and found.speed["images_per_s"] > 0
    assert text(found)
    fitted = replace(run, modality=settled(run.modality, found.dataset))
    picture = tiles(fitted, *first_batch(fitted, found.dataset, 3))
    assert picture.dtype == np.uint8 and picture.ndim == 3 and (picture == 128).all(-1).any()  # something is hidden


@pytest.mark.parametrize("kind", ["video", "audio"])
def test_a_cache_of_decoded_samples_changes_no_bit(tmp_path, kind):
    run = run_of(MADE[kind], tmp_path / "data")
    plain, _ = open_dataset(run.data.path, run.modality, "off")
    kept, _ = open_dataset(run.data.path, run.modality, "on")
    places = [0.0, 0.4, 0.99]
    for a, b in zip(plain.read([1, 2, 3], places), kept.read([1, 2, 3], places), strict=True):
        assert torch.equal(a, b)
    assert plain.fingerprint == kept.fingerprint


def test_a_sample_too_long_to_be_kept_is_used_part_by_part(tmp_path, monkeypatch):
    run = run_of(frames, tmp_path / "data")
    whole = Video.decode

    def decode(self, data, at=None):
        if at is None and not isinstance(data, bytes) and len(data) == 9:
            raise TooLong("too long to be decoded as a whole")
        return whole(self, data, at)

    monkeypatch.setattr(Video, "decode", decode)
    dataset, entries = open_dataset(run.data.path, run.modality, "on")
    assert dataset.read([1])[0].shape == (3, 4, 24, 32) and not [e for e in entries if "too long" in e.reason]


@pytest.mark.parametrize("kind", MADE)
def test_it_keeps_the_laws(tmp_path, kind):
    run = run_of(MADE[kind], tmp_path / "data")
    dataset, _ = open_dataset(run.data.path, run.modality, "off")
    modality = settled(run.modality, dataset)
    faults = [str(law) for law in check(modality, [dataset.read([row])[0] for row in (1, 2, 3)]) if law.fault]
    assert not faults, "\n".join(faults)


def test_data_of_another_kind_is_refused_by_name(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x/song.wav").write_bytes(b"RIFF")
    with pytest.raises(ValueError, match=r"no videos in .*song\.wav.*not one of the videos"):
        open_dataset(str(tmp_path / "x"), Video())
    with pytest.raises(ValueError, match="world:tabletop makes images, and this recipe learns from videos"):
        open_dataset("world:tabletop", Video())


def test_decoding_without_its_package_names_the_extra(monkeypatch):
    import builtins

    real = builtins.__import__

    def without(name, *rest):
        if name.split(".")[0] in ("av", "soundfile"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    buffer = io.BytesIO(b"RIFF\x24\0\0\0WAVEfmt ")
    with pytest.raises(ValueError, match=r"openjepa\[audio\]"):
        Audio().decode(buffer.getvalue())


def test_photos_train_the_same_encoder_as_videos(tmp_path):
    """Each is a clip of one frame that stands still; as frames of one video they would differ in size."""
    inside = tmp_path / "photos"
    inside.mkdir()
    for k in range(8):
        picture(k, 24, 32 + 2 * k).save(inside / f"{k}.png")
    run = replace(RUN, modality=Video(size=(4, 16, 16), patch=(2, 8, 8)), data=DataConfig(path=str(inside)))
    dataset, _ = open_dataset(str(tmp_path), run.modality, "off")
    with pytest.raises(BadSample, match="modality.pictures clips"):
        dataset.read([0])
    run = replace(run, modality=replace(run.modality, pictures="clips"))
    result = train(run, tmp_path / "clips")
    assert result.steps == run.steps
    tokens = checkpoint.load_encoder(tmp_path / "clips").encode([inside / "0.png"]).tokens
    assert tokens.shape[:2] == (1, 8)
