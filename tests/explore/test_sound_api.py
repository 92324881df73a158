"""Cells of a spectrogram as sound: pure tones, sums, the model's own filters, files that another program reads."""

import io
import json
from dataclasses import replace

import pytest
import torch
from starlette.testclient import TestClient

from openjepa.explore.door import Door
from openjepa.explore.explorer import Explorer
from openjepa.explore.hearing import axes, cells, inside, render, shown, split
from openjepa.explore.neighbours import neighbours
from openjepa.explore.question import Box
from openjepa.explore.server import build
from openjepa.explore.shelf import Shelf
from openjepa.explore.sound_api import wav
from openjepa.masks.random import Random
from openjepa.modalities.audio import Audio
from openjepa.modalities.fbank import filters, padded
from openjepa.run import DataConfig
from openjepa.train import train
from tests import tiny

AUDIO = Audio(size=(60, 64), patch=(10, 16), mean=-7.0, std=3.0)  # grid 6 x 4
EIGHT = replace(AUDIO, rate=8000, size=(60, 39), patch=(12, 13), hop_ms=12.5)  # another rate, grid 5 x 3
WIDE = replace(AUDIO, window_ms=20.0, hop_ms=20.0)  # windows that do not overlap at all
WORLD = "world:soundscape?count=24&seconds=1"
RUN = replace(tiny.RUN, modality=AUDIO, data=DataConfig(path=WORLD), batch_size=4, steps=4, save_every=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("sounds")
    train(replace(RUN, objective=replace(RUN.objective, masks=Random(ratio=0.5), union=True)), root / "union")
    train(replace(RUN, objective=tiny.MAE.objective), root / "pixels")
    return root


@pytest.fixture(scope="module")
def client(folder, runs):
    with TestClient(build(Shelf([folder, runs], bundled=False), Door()), base_url="http://127.0.0.1/api/v1/") as found:
        yield found


def tone(modality, hertz):
    return 0.3 * torch.sin(2 * torch.pi * hertz * torch.arange(modality.samples(modality.size[0])).double() / modality.rate).float()


def loudness(wave):
    return wave.square().mean().sqrt().item()


def band(modality, row):
    """All of time, one row."""
    return Box((0, row), (modality.grid[0], 1))


@pytest.mark.parametrize("modality", [AUDIO, EIGHT, WIDE])
def test_a_tone_is_in_its_band_and_nowhere_else(modality):
    """In the middle of each row, in Hz: hidden it is gone, below -40 dB, and all of it is in the hidden part."""
    edges = axes(modality).hz
    for row in range(modality.grid[1]):
        wave = tone(modality, (edges[row] + edges[row + 1]) / 2)
        middle = slice(len(wave) // 8, -len(wave) // 8)  # a tone that begins and ends is no pure one there
        for hidden in range(modality.grid[1]):
            left, cut = split(modality, wave, inside(modality, [band(modality, hidden)]))
            within, without = (cut, left) if hidden == row else (left, cut)
            assert loudness(without[middle]) < 0.01 * loudness(wave), (row, hidden)
            torch.testing.assert_close(within[middle], wave[middle], rtol=0, atol=0.01)


@pytest.mark.parametrize("modality", [AUDIO, EIGHT, WIDE])
def test_what_is_left_and_what_is_cut_out_add_up(modality):
    wave = torch.randn(modality.samples(modality.size[0]), generator=torch.Generator().manual_seed(0)) / 4
    for boxes in ([Box((1, 0), (2, 2))], [Box((0, 1), (1, 2)), Box((3, 0), (2, 1)), Box((0, 0), (1, 1))], [Box((0, 0), modality.grid)]):
        left, cut = split(modality, wave, inside(modality, boxes))
        torch.testing.assert_close(left + cut, wave, rtol=0, atol=1e-5)
    assert loudness(left) < 1e-6  # everything is hidden


@pytest.mark.parametrize("frame", [1, 8])
def test_a_click_is_in_its_moment_and_nowhere_else(frame):
    """Near either end of each token: 10 frames of 10 ms, the first with its middle at 12.5 ms; one frame away is still heard."""
    for token in range(6):
        wave = torch.zeros(AUDIO.samples(60))
        wave[200 + 160 * (10 * token + frame)] = 1.0
        for hidden in range(6):
            cut = split(AUDIO, wave, inside(AUDIO, [Box((hidden, 0), (1, 4))]))[1]
            assert loudness(cut) == pytest.approx(loudness(wave) if hidden == token else 0, abs=1e-5)


@pytest.mark.parametrize("modality", [AUDIO, EIGHT])
def test_every_frequency_belongs_to_the_row_of_the_filter_that_hears_it_most(modality):
    """The model's own filter bank decides; ties are within one part in a million of a line between two."""
    weights = filters(modality.rate, modality.size[1], 16 * padded(400))
    heard = weights.sum(1) > 0
    row = weights.argmax(1) // modality.patch[1]
    for band_row in range(modality.grid[1]):
        mine = cells(modality, inside(modality, [band(modality, band_row)]), len(weights), torch.arange(3))
        assert torch.equal(mine[:, 0][heard], row[heard] == band_row)
        low, high = axes(modality).hz[band_row : band_row + 2]
        hertz = (torch.arange(len(weights)) * modality.rate / 2 / (len(weights) - 1))[mine[:, 0] & heard]
        assert low <= hertz.min() <= low + 10
        assert high - 10 <= hertz.max() <= high


def test_edges_count_as_the_token_at_the_edge():
    asked = cells(AUDIO, inside(AUDIO, [Box((0, 0), (1, 4))]), 5, torch.tensor([-2, -1, 0, 9, 10, 59, 60, 61]))
    assert asked.all(0).tolist() == [True, True, True, True, False, False, False, False]
    assert cells(AUDIO, inside(AUDIO, [Box((5, 0), (1, 4))]), 5, torch.tensor([49, 50, 61])).all(0).tolist() == [False, True, True]


def test_seconds_of_tokens():
    assert axes(AUDIO).seconds == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert axes(EIGHT).seconds == pytest.approx([0, 0.15, 0.3, 0.45, 0.6, 0.75])


@pytest.mark.parametrize("short", ["pad", "repeat"])
@pytest.mark.parametrize("count", [3000, 9840, 16000])
def test_what_is_heard_is_what_is_seen(short, count):
    """The spectrogram of the waveform that is played is the view, whatever its length; what is padded is silence."""
    modality = replace(AUDIO, short=short)
    sample = 0.1 * torch.randn(1, count, generator=torch.Generator().manual_seed(1))
    wave = shown(modality, sample)
    assert len(wave) == 9840
    found = modality.center([wave[None]])[0, 0]
    seen = modality.center([sample])[0, 0]
    frames = 60 if short == "repeat" or count >= 9840 else (count - 400) // 160 + 1
    torch.testing.assert_close(found[:frames], seen[:frames], rtol=0, atol=2e-3)
    if frames < 60:
        assert not wave[count:].any()


def test_the_encoder_hears_the_context_box_without_the_holes(folder):
    """`context` hides what lies outside, as it does for the encoder; peek hides nothing."""
    explorer, holes, context = Explorer(folder / "union"), [Box((2, 1), (2, 2))], Box((0, 0), (4, 4))
    wave = render(explorer, "data:1")
    found = render(explorer, "data:1", holes, "context", context=context)
    others = render(explorer, "data:1", [Box((4, 0), (2, 4)), *holes], "hidden")
    torch.testing.assert_close(found + others, wave, rtol=0, atol=1e-5)
    torch.testing.assert_close(render(explorer, "data:1", holes, "context", mode="peek"), wave, rtol=0, atol=1e-5)


def test_the_nearest_sound_is_cut_out_of_its_own_waveform(folder):
    explorer, holes = Explorer(folder / "union"), [Box((4, 0), (1, 2)), Box((1, 1), (2, 2))]
    hit = neighbours(explorer, "data:3", holes, 1, 1)[0]
    its = render(explorer, hit.input, [Box(hit.at, hit.size)], "hidden")
    found = render(explorer, "data:3", holes, "nearest", target=1)
    later = (1 - hit.at[0]) * 1600
    assert hit.input != "data:3"
    assert loudness(found) > 0
    for at in range(1600, 1600 + 3200, 160):
        assert found[at] == its[at - later]


def test_the_file_is_read_by_another_program_to_the_bit():
    soundfile = pytest.importorskip("soundfile")
    wave = torch.randn(1001, generator=torch.Generator().manual_seed(2))
    for comment in ("", "odd", "even"):
        read, rate = soundfile.read(io.BytesIO(wav(wave, 11025, comment)), dtype="float32")
        assert rate == 11025
        assert torch.equal(torch.from_numpy(read), wave)
    with soundfile.SoundFile(io.BytesIO(wav(wave, 11025, "what made it"))) as file:
        assert file.comment == "what made it"


@pytest.mark.parametrize("what", ["original", "context", "hidden", "nearest"])
def test_the_page_and_its_python_say_the_same(client, what):
    soundfile = pytest.importorskip("soundfile")
    boxes = [{"at": [1, 1], "size": [2, 2]}, {"at": [4, 0], "size": [1, 1]}]
    while not client.post("bank/grow", json={"run": "union"}).json()["full"]:
        pass
    answer = client.post("audio/render", json={"run": "union", "input": "data:2", "targets": boxes, "what": what, "target": 1})
    assert answer.headers["content-type"] == "audio/wav"
    with soundfile.SoundFile(io.BytesIO(answer.content)) as file:
        space: dict = {}
        exec(file.comment, space)
        assert file.samplerate == 16000
        played = torch.from_numpy(file.read(dtype="float32"))
    assert torch.equal(played, space["found"])


def test_axes_of_the_page(client):
    found = client.get("audio/axes?run=union").json()
    space: dict = {}
    exec(found["python"], space)
    assert found["hz"] == pytest.approx(space["found"].hz)
    assert found["hz"][0] == 20
    assert found["hz"][-1] == 8000
    assert len(found["hz"]) == 5
    assert len(found["seconds"]) == 7


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"what": "hidden", "targets": []}, 422, "no boxes"),
        ({"targets": [{"at": [5, 0], "size": [2, 1]}], "what": "context"}, 422, "leaves the grid"),
        ({"what": "loud"}, 422, "loud"),
        ({"run": "blocks", "input": "data:0"}, 422, "learns from images"),
        ({"run": "pixels", "what": "nearest"}, 422, "predicts pixels"),
        ({"what": "nearest", "target": 3}, 422, "hole 3 of 1"),
        ({"input": "data:99"}, 404, "no input"),
    ],
)
def test_wrong_questions_are_named(client, change, status, says):
    asked = {"run": "union", "input": "data:2", "targets": [{"at": [1, 1], "size": [1, 1]}], **change}
    answer = client.post("audio/render", json=asked)
    assert answer.status_code == status, answer.text
    assert says in json.dumps(answer.json())


def test_sounds_of_a_run_that_predicts_pixels(client):
    """Listening needs no embeddings."""
    answer = client.post("audio/render", json={"run": "pixels", "input": "data:2", "targets": [], "what": "original"})
    assert answer.status_code == 200
