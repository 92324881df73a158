import pytest
import torch

from openjepa.tokens import Batch, Masks, Tokens, both


def tokens():
    """b=2 n=5 d=3 axes=1, and every value names its sample and place."""
    values = torch.arange(2 * 5).float().reshape(2, 5, 1).expand(2, 5, 3)
    return Tokens(values, torch.arange(5.0).reshape(1, 5, 1).expand(2, 5, 1), torch.arange(10).reshape(2, 5) % 3 > 0)


def test_take_reads_each_sample_from_itself():
    taken = tokens().take(torch.tensor([[4, 0], [1, 1]]))
    assert taken.values[..., 0].tolist() == [[4, 0], [6, 6]]
    assert taken.positions[..., 0].tolist() == [[4, 0], [1, 1]]
    assert taken.valid.tolist() == [[True, False], [False, False]]


def test_take_refuses_an_index_for_another_batch():
    """gather() alone would return sample 0 for everyone: right shape, wrong image."""
    with pytest.raises(ValueError, match="index is for 1 samples, tokens hold 2"):
        tokens().take(torch.tensor([[0, 1]]))


def test_positions_stay_float32():
    with pytest.raises(Exception, match="positions"):
        Tokens(torch.zeros(2, 5, 3), torch.zeros(2, 5, 1, dtype=torch.bfloat16))


def test_a_padded_index_takes_padding():
    index, valid = torch.tensor([[4, 0], [0, 0]]), torch.tensor([[True, True], [True, False]])
    assert tokens().take(index, valid).valid.tolist() == [[True, False], [True, False]]
    plain = Tokens(tokens().values, tokens().positions)
    assert plain.take(index, valid).valid is valid
    assert plain.take(index).valid is None


def test_blank_is_zero_at_the_padding_and_nothing_else():
    x = Tokens(tokens().values.clone(), tokens().positions, tokens().valid)
    x.values[~x.valid] = float("nan")
    found = x.blank()
    assert torch.equal(found.values[x.valid], x.values[x.valid])
    assert torch.equal(found.positions[x.valid], x.positions[x.valid])
    assert not found.values[~x.valid].any()
    assert not found.positions[~x.valid].any()
    plain = Tokens(x.values, x.positions)
    assert plain.blank() is plain


def test_none_is_true_everywhere():
    a, b = torch.tensor([True, True, False]), torch.tensor([True, False, True])
    assert both(None, None) is None
    assert both(a, None) is a
    assert both(None, b) is b
    assert both(a, b).tolist() == [True, False, False]


def test_a_batch_is_changed_whole():
    ragged = Masks(torch.zeros(4, 2).long(), torch.ones(4, 3, 2).long(), torch.ones(4, 2).bool(), torch.ones(4, 3, 2).bool())
    plain = Masks(torch.zeros(4, 2).long(), torch.ones(4, 3, 2).long())
    half = Batch((torch.zeros(4, 3, 8),), (ragged, plain)).map(lambda x: x[2:])
    assert half.views[0].shape == (2, 3, 8)
    assert [tuple(x.shape) for x in vars(half.masks[0]).values()] == [(2, 2), (2, 3, 2), (2, 2), (2, 3, 2)]
    assert half.masks[1].context.shape == (2, 2)
    assert half.masks[1].context_valid is None
    assert half.masks[1].target_valid is None


def test_registers_come_before_what_was_masked():
    masks = Masks(torch.tensor([[0, 2]]), torch.tensor([[[1, 3]]]), torch.tensor([[True, False]]))
    behind = masks.behind(2)
    assert behind.context.tolist() == [[0, 1, 2, 4]]
    assert behind.context_valid.tolist() == [[True, True, True, False]]
    assert behind.targets.tolist() == [[[3, 5]]]
    assert masks.behind(0) is masks
