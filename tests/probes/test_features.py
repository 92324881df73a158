import pytest
import torch

from openjepa.modalities.points import Points
from openjepa.probes.features import extract, extract_all, load, side_by_side
from openjepa.probes.reading import content
from tests.probes.made import MODALITY, Known, Made, pictures, vit


def one_by_one(bundle, images, k):
    """Outputs of the last k blocks for each picture alone, [n k tokens d]."""
    found = []
    for image in images:
        found.append(torch.stack(bundle.encoder.layers(MODALITY.patchify(MODALITY.center([image])), k), 1))
    return torch.cat(found)


@pytest.mark.parametrize("sizes", [(8, 12), (20, 31)])
def test_features_are_those_of_each_picture_alone(sizes):
    bundle, data = vit(), Made(pictures(300, size=sizes))  # more than one chunk
    want = one_by_one(bundle, data.images, 5)
    close = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(extract(bundle, data).x, want[:, 4].mean(1), **close)
    torch.testing.assert_close(extract(bundle, data, layer=-3).x, want[:, 2].mean(1), **close)
    torch.testing.assert_close(extract(bundle, data, pooling="tokens", layer=-2).x, want[:, 3], **close)
    torch.testing.assert_close(extract(bundle, data, pooling="last4").x, want[:, 1:].mean(2).flatten(1), **close)
    torch.testing.assert_close(extract(bundle, data, pooling="places", layer=-2).x, want[:, 3].flatten(1), **close)
    rows = [250, 3, 7]
    torch.testing.assert_close(extract(bundle, data, rows).x, want[rows, 4].mean(1), **close)


def test_a_second_call_reads_the_file_and_nothing_else(tmp_path):
    data, bundle = Made(pictures(7)), Known(lambda x: x.mean((2, 3)))
    first = extract(bundle, data, cache_dir=tmp_path)
    data.reads = bundle.encoder.calls = 0
    again = extract(bundle, data, cache_dir=tmp_path)
    assert torch.equal(again.x, first.x) and torch.equal(again.rows, first.rows)
    assert data.reads == bundle.encoder.calls == 0


def test_whatever_changes_the_numbers_changes_the_file(tmp_path):
    data = Made(pictures(6))
    extract(vit(), data, cache_dir=tmp_path)
    others = [
        (vit(seed=1), data, None, {}),
        (vit(heads=3), data, None, {}),  # the same weights, other features
        (vit(position_scale=0.5), data, None, {}),
        (vit(), Made(data.images, fingerprint="other"), None, {}),
        (vit(), data, [0, 1, 2], {}),
        (vit(), data, None, {"pooling": "last4"}),
        (vit(), data, None, {"pooling": "places"}),
        (vit(), data, None, {"layer": -2}),
    ]
    for count, (bundle, dataset, rows, how) in enumerate(others, 2):
        extract(bundle, dataset, rows, cache_dir=tmp_path, **how)
        assert len(list(tmp_path.iterdir())) == count
    extract(vit(), data, cache_dir=tmp_path)
    assert len(list(tmp_path.iterdir())) == len(others) + 1


@pytest.mark.parametrize("damage", ["cut", "junk", "empty", "one bit", "another format"])
def test_a_damaged_file_is_computed_again(tmp_path, damage):
    data, bundle = Made(pictures(6)), vit()
    want = extract(bundle, data, cache_dir=tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-30] ^= 1
    from safetensors.torch import save

    other = save({"y": torch.zeros(3)})
    path.write_bytes({"cut": whole[:-9], "junk": b"\xff" * 999, "empty": b"", "one bit": bytes(flipped), "another format": other}[damage])
    assert load(path) is None
    again = extract(bundle, data, cache_dir=tmp_path)
    assert torch.equal(again.x, want.x)
    mended = load(path)
    assert mended is not None and torch.equal(mended.x, want.x) and torch.equal(mended.rows, want.rows)


def test_a_cache_that_cannot_be_written_costs_a_warning_not_the_features(tmp_path):
    (tmp_path / "features").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="features are not kept: cannot write"):
        got = extract(vit(), Made(pictures(3)), cache_dir=tmp_path / "features")
    assert got.x.shape == (3, 12)


def test_unreadable_samples_are_left_out_and_listed(tmp_path):
    data = Made(pictures(9), bad={2: "truncated", 5: "the file is empty"})
    for _ in range(2):  # computed, then from the cache
        got = extract(vit(), data, cache_dir=tmp_path)
        assert got.rows.tolist() == [0, 1, 3, 4, 6, 7, 8]
        assert got.bad == (("made/002.png", "truncated"), ("made/005.png", "the file is empty"))
    torch.testing.assert_close(got.x, extract(vit(), data, got.rows.tolist()).x)


def test_nothing_readable_is_an_error_that_names_a_file():
    data = Made(pictures(2), bad={0: "truncated", 1: "truncated"})
    with pytest.raises(ValueError, match="none of 2 samples could be read.*made/000.png: truncated"):
        extract(vit(), data)


def test_several_encoders_cost_one_reading():
    data = Made(pictures(11))
    bundles = {"encoder": vit(), "untrained": vit(seed=1)}
    found, pixels = extract_all(bundles, data, range(11), "mean", -1, dict.fromkeys(bundles))
    assert data.reads == 11
    torch.testing.assert_close(found["untrained"].x, extract(bundles["untrained"], data).x)
    assert torch.equal(pixels.x, torch.stack(data.images).flatten(1))


def test_rows_mean_the_same_samples_for_every_encoder_when_a_file_broke_in_between(tmp_path):
    data, bundles = Made(pictures(5)), {"encoder": vit(), "untrained": vit(seed=1)}
    paths = {"encoder": tmp_path / "a.safetensors", "untrained": tmp_path / "b.safetensors"}
    extract_all({"encoder": bundles["encoder"]}, data, range(5), "mean", -1, paths)
    data.bad[1] = "gone"
    found, pixels = extract_all(bundles, data, range(5), "mean", -1, paths)
    assert found["encoder"].rows.tolist() == found["untrained"].rows.tolist() == [0, 2, 3, 4]
    assert len(found["encoder"].x) == len(pixels.x) == len(pixels.hashes) == 4


def test_content_is_of_the_picture_not_of_its_bytes_in_a_row():
    x = torch.zeros(3, 4, 6, dtype=torch.uint8)
    assert content(x) == content(x.clone()) != content(x.reshape(3, 6, 4))
    y = x.clone()
    y[2, 3, 5] = 1
    assert content(x) != content(y)
    assert content(x.transpose(1, 2)) == content(x.transpose(1, 2).contiguous())


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"layer": 2}, "layers are counted from the end"),
        ({"layer": -6}, "asked for the last 6 layers of an encoder that has 5"),
        ({"pooling": "last4", "layer": -2}, "last4 takes the last four"),
    ],
)
def test_settings_that_mean_nothing_are_refused(how, message):
    with pytest.raises(ValueError, match=message):
        extract(vit(), Made(pictures(2)), **how)


def test_places_side_by_side_know_where_the_mean_does_not():
    """The same two patches, in two orders."""
    a, b = torch.zeros(3, 8, 12, dtype=torch.uint8), torch.zeros(3, 8, 12, dtype=torch.uint8)
    a[:, :4, :4], b[:, 4:, 8:] = 200, 200
    bundle = vit(position_scale=0.0)
    mean, places = (extract(bundle, Made([a, b]), pooling=pooling).x for pooling in ("mean", "places"))
    torch.testing.assert_close(mean[0], mean[1])
    assert (places[0] - places[1]).abs().max() > 0.1


def test_padding_is_zero_among_places():
    tokens, valid = torch.randn(2, 3, 4), torch.tensor([[True, True, False], [True, True, True]])
    tokens[0, 2] = torch.nan
    flat = side_by_side(tokens, valid, MODALITY)
    assert flat[0, 8:].eq(0).all() and torch.equal(flat[0, :8], tokens[0, :2].flatten()) and torch.equal(flat[1], tokens[1].flatten())


def test_places_that_say_nothing_or_are_too_many_are_refused():
    with pytest.raises(ValueError, match="lie elsewhere"):
        side_by_side(torch.zeros(1, 2, 3), None, Points())
    with pytest.raises(ValueError, match="196 tokens of 384 features 75,264"):
        side_by_side(torch.zeros(1, 196, 384), None, MODALITY)
