import pytest
import torch

from openjepa.tokens import Tokens


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
