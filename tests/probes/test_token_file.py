import numpy as np
import pytest
import torch

from openjepa.probes.token_file import TokenFeatures, TokenWriter, load


def written(path, x, valid=None, rows=None):
    writer = TokenWriter(path)
    for start in range(0, len(x), 4):
        writer.add(x[start : start + 4], None if valid is None else valid[start : start + 4])
    return writer.close(list(range(len(x))) if rows is None else rows, [("a.png", "truncated")])


@pytest.mark.parametrize("to_disk", [True, False])
def test_batches_are_the_tokens_that_were_written(tmp_path, to_disk):
    x = torch.randn(11, 5, 7)
    kept = written(tmp_path / "k.tokens" if to_disk else None, x)
    assert isinstance(kept.stored, np.memmap) == to_disk and (len(kept), kept.tokens, kept.dim) == (11, 5, 7)
    which = torch.tensor([9, 2, 2])
    got, valid = kept.batch(which)
    assert valid is None and torch.equal(got, x[which].half().float())
    some = kept[torch.arange(11) % 2 == 1]
    assert len(some) == 5 and torch.equal(some[torch.tensor([3, 0])].batch(slice(0, 2))[0], x[[7, 1]].half().float())


def test_views_are_told_apart_when_read_again(tmp_path):
    x, valid = torch.randn(5, 2, 3, 4), torch.rand(5, 2, 3) < 0.7
    writer = TokenWriter(tmp_path / "k.tokens", 2)
    writer.add(x.flatten(1, 2), valid.flatten(1))
    writer.close(list(range(5)), [])
    found, _ = load(tmp_path / "k.tokens")
    got, real = found[torch.tensor([4, 1])].batch(slice(None))
    assert (found.tokens, len(found), found.views) == (3, 5, 2)
    assert torch.equal(real, valid[[4, 1]].flatten(0, 1))
    assert torch.equal(got, (x[[4, 1]].half().float() * valid[[4, 1], ..., None]).flatten(0, 1))


def test_what_was_kept_is_found_again_with_its_rows(tmp_path):
    x, valid = torch.randn(6, 3, 4), torch.arange(3) < torch.tensor([1, 2, 3, 3, 2, 1])[:, None]
    written(tmp_path / "k.tokens", x.masked_fill(~valid[..., None], torch.nan), valid, [0, 2, 3, 5, 7, 9])
    found, rows = load(tmp_path / "k.tokens")
    assert rows == [0, 2, 3, 5, 7, 9]
    got, real = found.batch(torch.arange(6))
    assert torch.equal(real, valid) and torch.equal(got, x.half().float() * valid[..., None])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["k.tokens", "k.tokens.json"]


@pytest.mark.parametrize("damage", ["cut", "one bit", "no note", "another note"])
def test_damaged_files_are_not_read(tmp_path, damage):
    path = tmp_path / "k.tokens"
    written(path, torch.randn(6, 3, 4))
    whole = bytearray(path.read_bytes())
    whole[-3] ^= 1
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-2])
    elif damage == "one bit":
        path.write_bytes(whole)
    elif damage == "no note":
        (tmp_path / "k.tokens.json").unlink()
    else:
        (tmp_path / "k.tokens.json").write_text("[]")
    assert load(path) is None and load(tmp_path / "none.tokens") is None


def test_broken_and_ragged_tokens_are_refused_and_leave_no_file(tmp_path):
    writer = TokenWriter(tmp_path / "k.tokens")
    x = torch.randn(4, 3, 4)
    writer.add(x)
    with pytest.raises(ValueError, match="samples have 3 and 5 tokens"):
        writer.add(torch.randn(4, 5, 4))
    writer = TokenWriter(tmp_path / "k.tokens")
    x[1, 2, 0] = torch.nan
    with pytest.raises(ValueError, match="tokens of 1 samples hold NaN or infinity; the checkpoint diverged"):
        writer.add(x)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_costs_memory_not_the_tokens(tmp_path):
    (tmp_path / "features").write_text("a file where the folder should be")
    x = torch.randn(5, 3, 4)
    with pytest.warns(UserWarning, match="token features are kept in memory: cannot write"):
        kept = written(tmp_path / "features/k.tokens", x)
    assert torch.equal(kept.batch(slice(None))[0], x.half().float())


def test_float64_in_memory_stays_so():
    assert TokenFeatures.of(torch.randn(2, 3, 4, dtype=torch.float64)).batch(slice(None))[0].dtype == torch.float64
