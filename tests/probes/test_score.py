import json
import shutil
from dataclasses import replace

import pytest
import torch

from openjepa.checkpoint import load_encoder
from openjepa.data.labels import LabelSet
from openjepa.modalities.image import Image
from openjepa.probes.attentive import Attentive
from openjepa.probes.heads import heads_in, load_head
from openjepa.probes.questions import Labelled
from openjepa.probes.report import METHODS
from openjepa.probes.score import probe, score
from openjepa.probes.sides import Settings, patch_code, read, with_pixels
from openjepa.train import train
from tests.probes.made import Known, Made, bright, pictures, vit
from tests.tiny import RUN, photos, run_on

SCORED = tuple(method for method in METHODS if method != "summary")  # pictures have none
ALL = ("knn", "linear", "1-shot", "5-shot", "1%")


def brightness(x, least=0.0):
    """One feature per class of `bright`, whose mean brightnesses are 31, 91 and 151."""
    mean = x.mean((1, 2, 3)).clamp(min=least)
    return torch.stack([(-(((mean - c) / 20) ** 2)).exp() for c in (31, 91, 151)], 1)


def nothing(x):
    """Noise that depends on the picture, not on its class."""
    return torch.stack([(x[:, c, c, 0] * 37) % 11 - 5 for c in range(3)], 1)


def labelled(data, path="data"):
    return Labelled(path, data, data.labels)


def rows(scored, probe="knn"):
    return {row.method: row for row in scored.rows if row.probe == probe}


def test_the_same_probe_runs_on_every_floor():
    """Hand the untrained slot the very same encoder: all its scores must be equal, and the gain 0."""
    bundles = {"encoder": vit(), "untrained": vit()}
    scored = score(bundles, labelled(bright(90)), labelled(bright(60, seed=1, fingerprint="test")), Settings(ALL))
    for name in ALL:
        found = rows(scored, name)
        assert tuple(found) == SCORED
        assert found["encoder"].accuracy == found["untrained"].accuracy
        assert found["encoder"].gains["untrained"] == (0, 0, 0) and set(found["encoder"].gains) == {"untrained", "pixels"}
        assert found["chance"].accuracy == found["majority"].accuracy == pytest.approx(1 / 3)


def test_an_encoder_that_knows_beats_one_that_does_not():
    bundles = {"encoder": Known(brightness), "untrained": Known(nothing)}
    scored = score(bundles, labelled(bright(300)), labelled(bright(150, seed=1, fingerprint="test")), Settings())
    for name in ("knn", "linear"):
        found = rows(scored, name)
        assert found["encoder"].accuracy == 1.0 and abs(found["untrained"].accuracy - 1 / 3) < 0.15
        gain, low, high = found["encoder"].gains["untrained"]
        assert gain == pytest.approx(1 - found["untrained"].accuracy) and 0.5 < low < gain < high < 0.8
    assert set(rows(scored)["encoder"].detail["k"]) == {"10", "20", "100", "200"}
    assert rows(scored, "linear")["encoder"].detail["held_out"]


def test_accuracy_of_each_class_is_counted_one_by_one():
    """An encoder that is blind to brightness below 120 mixes up the two darker classes and no others."""
    bundles = {"encoder": Known(lambda x: brightness(x, least=120.0)), "untrained": Known(nothing)}
    scored = score(bundles, labelled(bright(300)), labelled(bright(100, seed=1, fingerprint="test")), Settings(("linear",)))
    row = rows(scored, "linear")["encoder"]
    assert row.per_class["white"] == (1.0, 33)
    assert sum(right * count for right, count in row.per_class.values()) / 100 == pytest.approx(row.accuracy)
    assert row.per_class["dark"][0] + row.per_class["light"][0] < 1.5


def test_without_a_test_set_a_fifth_is_held_out_and_said_so():
    scored = score({"encoder": vit()}, labelled(bright(60), "./here"), None, Settings(("knn",)))
    assert "no test set: 12 samples, a fifth of each class, were held out of ./here" in scored.notes
    assert sum(count for _, count in rows(scored)["encoder"].per_class.values()) == 12


def test_pictures_in_both_sets_are_counted_whatever_their_names():
    data, test = bright(30), bright(20, seed=1, fingerprint="test")
    test.images[4], test.images[9] = data.images[1].clone(), data.images[27].clone()
    scored = score({"encoder": vit()}, labelled(data), labelled(test), Settings(("knn",)))
    assert scored.warnings == [
        "2 of 20 test pictures (10 %) are also in train, the first is test/004.png; scores are too good, remove them"
    ]
    clean = score({"encoder": vit()}, labelled(data), labelled(bright(20, seed=1, fingerprint="test")), Settings(("knn",)))
    assert clean.warnings == []


def test_unreadable_files_are_left_out_on_either_side_and_labels_stay_with_their_pictures():
    data, test = bright(120), bright(60, seed=1, fingerprint="test")
    data.bad, test.bad = {0: "truncated", 1: "truncated"}, {2: "the file is empty"}
    scored = score({"encoder": Known(brightness)}, labelled(data), labelled(test), Settings())
    assert rows(scored)["encoder"].accuracy == 1.0  # a shift of one sample would mix up every label
    assert scored.bad == [("made/000.png", "truncated"), ("made/001.png", "truncated"), ("test/002.png", "the file is empty")]
    assert any(note.startswith("3 unreadable files were left out") for note in scored.notes)


def test_several_questions_are_asked_all_or_the_chosen_one():
    data = bright(90)
    data.labels["parity"] = LabelSet(("even", "odd"), torch.arange(90) % 2)
    asked = score({"encoder": vit()}, labelled(data), None, Settings(("knn",)))
    assert [row.label for row in asked.rows if row.method == "encoder"] == ["class", "parity"]
    chosen = score({"encoder": vit()}, labelled(data), None, Settings(("knn",), labels=("parity",)))
    assert {row.label for row in chosen.rows} == {"parity"}
    assert next(row for row in chosen.rows if row.method == "chance").accuracy == 0.5


def test_questions_asked_together_are_answered_as_if_alone():
    """Neighbours found for one question serve another only where the same samples are asked of."""
    data, test = bright(90), bright(60, seed=1, fingerprint="test")
    for side in (data, test):
        count = len(side)
        side.labels["parity"] = LabelSet(("even", "odd"), torch.arange(count) % 2)
        side.labels["some"] = LabelSet(("even", "odd"), torch.where(torch.arange(count) % 4 < 3, torch.arange(count) % 2, -1))
        side.labels["others"] = LabelSet(("even", "odd"), torch.where(torch.arange(count) % 4 > 0, torch.arange(count) % 2, -1))
    bundles = {"encoder": vit(), "untrained": vit(seed=1)}
    together = score(bundles, labelled(data), labelled(test), Settings(("knn",)))
    for name in data.labels:
        alone = score(bundles, labelled(data), labelled(test), Settings(("knn",), labels=(name,)))
        assert [row for row in together.rows if row.label == name] == alone.rows


def test_samples_without_a_label_are_not_asked():
    data, test = bright(90), bright(60, seed=1, fingerprint="test")
    test.labels["class"].values[:30] = -1
    data.labels["class"].values[30:45] = -1
    scored = score({"encoder": Known(brightness)}, labelled(data), labelled(test), Settings())
    found = rows(scored)["encoder"]
    assert found.accuracy == 1.0 and sum(count for _, count in found.per_class.values()) == 30


def test_majority_is_not_chance_when_classes_are_uneven():
    y = torch.tensor([0] * 40 + [1] * 10)
    data = Made(pictures(50), {"class": LabelSet(("a", "b"), y)})
    found = rows(score({"encoder": vit()}, labelled(data), None, Settings(("knn",))))
    assert found["majority"].accuracy == 0.8 and found["chance"].accuracy == 0.5


def test_what_the_field_would_try_first_is_a_floor_where_a_modality_has_it(monkeypatch):
    monkeypatch.setattr(Image, "summary", lambda self, x: x.float().mean((2, 3)))
    bundles = {"encoder": Known(nothing), "untrained": Known(nothing)}
    scored = score(bundles, labelled(bright(300)), labelled(bright(150, seed=1, fingerprint="test")), Settings())
    for name in ("knn", "linear"):
        found = rows(scored, name)
        assert tuple(found) == METHODS and found["summary"].accuracy > 0.9 and found["encoder"].gains["summary"][0] < -0.4


def test_pixel_axes_come_from_train_alone():
    bundles = {"encoder": vit()}
    train_side, test_side, other = (
        read(bundles, bright(n, seed=s), list(range(n)), Settings(), None) for n, s in ((50, 0), (20, 1), (9, 2))
    )
    one = with_pixels(train_side, test_side, 12, 0)["pixels"]
    two = with_pixels(train_side, other, 12, 0)["pixels"]
    assert torch.equal(one[0], two[0]) and one[0].shape == (50, 12)
    pixels, centre = train_side.pixels.x.double(), train_side.pixels.x.double().mean(0)
    exact = torch.linalg.svd(pixels - centre, full_matrices=False)
    torch.testing.assert_close(one[0][:, 0].double().abs(), (exact.U[:, 0] * exact.S[0]).abs(), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"probes": ("knnn",)}, "no probe 'knnn', did you mean 'knn'.*there are knn, linear, 1-shot, 5-shot, 1%"),
        ({"pooling": "tokens"}, "pooling 'tokens' gives many features per image"),
        ({"clips": 0}, "clips is 0; at least 1"),
        ({"held_out": ("s1",)}, "held_out names the groups s1, but group does not say"),
    ],
)
def test_settings_that_mean_nothing_are_refused(how, message):
    with pytest.raises(ValueError, match=message):
        Settings(**how)


QUICK = Attentive(rates=(3e-3, 1e-3), decays=(0.01,), epochs=6, batch_size=32)


def test_the_attentive_probe_stands_beside_the_same_floors(tmp_path):
    """The untrained slot holds the very same encoder; brightness is in every patch, so raw patches tell it, too."""
    bundles = {"encoder": vit(), "untrained": vit()}
    settings = Settings(("knn", "attentive"), attentive=QUICK)
    train_side, test_side = labelled(bright(300)), labelled(bright(90, seed=1, fingerprint="test"))
    scored = score(bundles, train_side, test_side, settings, cache_dir=tmp_path)
    found = rows(scored, "attentive")
    assert tuple(found) == SCORED and found["encoder"].accuracy == found["untrained"].accuracy
    assert found["encoder"].gains["untrained"] == (0, 0, 0) and found["pixels"].accuracy > 0.95
    assert found["encoder"].detail["heads_tried"] == 2 and found["encoder"].detail["validation_samples"] == 30
    assert found["encoder"].per_class["dark"][1] == 30 and json.dumps(found["encoder"].detail)
    (note,) = [
        note for note in scored.notes if note.startswith("attentive on class: 2 heads were tried, the best on 30 validation samples")
    ]
    assert "the probe has" in note and "the encoder" in note
    assert any("was chosen on only 30 validation samples" in warning for warning in scored.warnings)
    assert len(list(tmp_path.glob("*.tokens"))) == 4  # encoder and pixels, train and test; equal weights share a file


def test_tokens_are_kept_and_not_encoded_again(tmp_path):
    data, test = bright(60), bright(30, seed=1, fingerprint="test")
    bundles, settings = {"encoder": Known(brightness)}, Settings(("attentive",), attentive=replace(QUICK, epochs=1))
    first = score(bundles, labelled(data), labelled(test), settings, cache_dir=tmp_path)
    bundles["encoder"].encoder.calls = 0
    again = score(bundles, labelled(data), labelled(test), settings, cache_dir=tmp_path)
    assert bundles["encoder"].encoder.calls == 0 and again.rows == first.rows
    data.bad = {4: "truncated"}  # a file broke since: rows must mean the same samples for every method
    less = score(bundles, labelled(data), labelled(test), settings, cache_dir=tmp_path)
    assert less.bad == [("made/004.png", "truncated")] and rows(less, "attentive")["encoder"].detail["validation_samples"] == 6


class Named(Made):
    """Pictures whose names tell a group."""

    def name(self, row):
        return f"class/{row % 5}-{row:03d}.png"


def test_no_split_cuts_a_group():
    data = bright(150)
    named = Named(data.images, data.labels)
    settings = Settings(("linear", "attentive"), group=r"/(\d)-", attentive=replace(QUICK, epochs=1))
    scored = score({"encoder": vit()}, labelled(named, "./here"), None, settings)
    (note,) = [note for note in scored.notes if note.startswith("no test set")]
    assert note.startswith("no test set: 30 samples, the whole group '") and note.endswith("of 5, were held out of ./here")
    assert rows(scored, "attentive")["encoder"].detail["validation_samples"] == 30
    asked = replace(settings, held_out=("1", "3"), probes=("knn",))
    scored = score({"encoder": vit()}, labelled(named), None, asked)
    assert "60 samples, the whole groups '1', '3' of 5" in scored.notes[0]
    assert sum(count for _, count in rows(scored)["encoder"].per_class.values()) == 60


def test_groups_on_both_sides_and_groups_that_cannot_be_spared_are_told():
    data = bright(60)
    named = Named(data.images, data.labels)
    scored = score({"encoder": vit()}, labelled(named), labelled(named), Settings(("knn",), group=r"/(\d)-"))
    assert any("60 of 60 test samples are of groups that are also in train ('0', '1'" in warning for warning in scored.warnings)
    two = Named(data.images, data.labels)
    two.name = lambda row: f"{row % 2}-{row}.png"
    scored = score({"encoder": vit()}, labelled(two), None, Settings(("linear",), group=r"^(\d)-"))
    assert any("chosen on samples of the same groups, because the 30 samples to split are of one group" in note for note in scored.notes)


def test_clips_are_averaged_and_their_tokens_stand_side_by_side():
    class Timed(Made):
        def read(self, rows, at=(0.5,)):
            return [(self.images[row].float() * at[0]).to(torch.uint8) for row in rows]

    data, bundle = Timed(pictures(9), {}), vit()
    side = read({"encoder": bundle}, data, list(range(9)), Settings(clips=2), None)
    tokens = [bundle.encode(torch.stack(data.read(range(9), [place]))).tokens for place in (0.25, 0.75)]
    torch.testing.assert_close(side.x["encoder"], (tokens[0].mean(1) + tokens[1].mean(1)) / 2)
    assert side.pixels.x.shape == (9, 2 * 3 * 8 * 12)
    code = patch_code(bundle, data, range(9), Settings(clips=2))
    side = read({"encoder": bundle}, data, list(range(9)), Settings(("attentive",), clips=2), None, code)
    got, _ = side.tokens["encoder"].batch(slice(None))
    torch.testing.assert_close(got, torch.cat(tokens, 1), atol=2e-3, rtol=1e-3)
    assert side.tokens["pixels"].tokens == 12


def test_an_attentive_probe_reads_the_layers_that_pooling_names(tmp_path):
    """Each of the three has tokens of its own, on disk too, and raw patches as wide as they are."""
    data, bundle = Made(pictures(9), {}), vit()
    every = bundle.encode(torch.stack(data.images), layers=5).tokens
    for how, want in (({}, every[..., -12:]), ({"layer": -4}, every[..., 12:24]), ({"pooling": "last4"}, every[..., 12:])):
        settings = Settings(("attentive",), **how)
        code = patch_code(bundle, data, range(9), settings)
        side = read({"encoder": bundle}, data, list(range(9)), settings, tmp_path, code)
        got, _ = side.tokens["encoder"].batch(slice(None))
        torch.testing.assert_close(got, want, atol=2e-3, rtol=1e-3)
        assert side.tokens["pixels"].dim == max(want.shape[2], 16)  # the code of a place wants 16


def test_views_along_the_longer_side_are_averaged_and_their_tokens_kept_apart():
    """Pictures twice as wide as a view, whose halves are two views."""
    wide = torch.cat([torch.stack(pictures(9)), 255 - torch.stack(pictures(9))], 3)
    data, bundle = Made(list(wide), {}), vit()
    side = read({"encoder": bundle}, data, list(range(9)), Settings(views=2), None)
    halves = [bundle.encode(half).tokens for half in wide.chunk(2, 3)]
    torch.testing.assert_close(side.x["encoder"], (halves[0].mean(1) + halves[1].mean(1)) / 2)
    several = Settings(("attentive",), views=2, clips=2)
    side = read({"encoder": bundle}, data, list(range(9)), several, None, patch_code(bundle, data, range(9), several))
    got, _ = side.tokens["encoder"].batch(slice(None))
    want = torch.stack([torch.cat([half, half], 1) for half in halves], 1).flatten(0, 1)  # the two clips of a picture are the same
    torch.testing.assert_close(got, want, atol=2e-3, rtol=1e-3)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of 2 steps, trained and probed data of 3 classes."""
    folder = tmp_path_factory.mktemp("probe")
    data = photos(folder / "data", 60, ("a", "b", "c"))
    train(replace(run_on(data, RUN), steps=2, save_every=2), folder / "run")
    return folder / "run", data


def test_from_run_folder_and_photos_to_a_report_on_disk(finished):
    folder, data = finished
    (data / "a" / "zero.jpg").write_bytes(b"")
    (data / "b" / "cut.jpg").write_bytes((data / "b" / "001.jpg").read_bytes()[:300])
    said = []
    report = probe(folder, str(data), cache="off", on_event=said.append)
    (path,) = (folder / "probes").glob("*.json")
    assert json.loads(path.read_text()) == json.loads(json.dumps(report.to_dict()))
    assert (report.step, report.objective, report.test["held_out"]) == (2, "JEPA", True)
    assert {name.split("/")[-1] for name, _ in report.bad} == {"zero.jpg", "cut.jpg"}
    assert report.row("class", "linear").accuracy > 0 and {event["kind"] for event in said} == {"probe"}
    lines = report.text().splitlines()
    assert lines[0].split() == ["class", "knn", "linear"] and [line.split()[0] for line in lines[1:6]] == list(SCORED)
    with pytest.raises(ValueError, match="no score class/nearest/encoder; there are class/knn, class/linear"):
        report.row("class", "nearest")
    assert len(list((folder / "features").iterdir())) == 4  # two encoders, train and test
    heads = {head.name: head.info for head in heads_in(folder)}
    assert set(heads) == {"class-knn-2", "class-linear-2"}
    encoder = load_encoder(folder)
    for name, info in heads.items():
        head = load_head(folder / "probes/heads" / f"{name}.safetensors")
        assert head.answer(head.encode(encoder, data / "b" / "001.jpg")).part("classes").names == ("a", "b", "c")
        assert info.encoder.sha256 == encoder.sha256 != load_encoder(folder, untrained=True).sha256
        assert info.data["path"] == info.test["path"] == str(data) and info.test["held_out"] and info.encoder.step == 2


def test_before_training_the_encoder_is_its_own_floor(finished):
    """The untrained slot holds the weights of step 0, not of the last step."""
    folder, data = finished
    shutil.rmtree(folder / "probes", ignore_errors=True)
    report = probe(folder, str(data), cache="off", write=False)
    assert not (folder / "probes").exists()
    kept = sorted((folder / "features").iterdir())
    assert len({path.read_bytes() for path in kept}) == len(kept)
    assert report.row("class", "knn").gains["untrained"][0] == pytest.approx(
        report.row("class", "knn").accuracy - report.row("class", "knn", "untrained").accuracy
    )


def test_photos_without_classes_are_refused(finished, tmp_path):
    folder, _ = finished
    with pytest.raises(ValueError, match="has no labels to probe with"):
        probe(folder, str(photos(tmp_path / "flat", 5)), cache="off")
    with pytest.raises(ValueError, match="no run folder"):
        probe(tmp_path / "none", str(tmp_path))
