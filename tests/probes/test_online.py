from types import SimpleNamespace

import pytest
import torch
from torch import nn

from openjepa.probes import knn
from openjepa.probes.online import online_knn
from openjepa.tokens import Tokens
from tests.probes.made import MODALITY, Made, bright, pictures, vit

RUN = SimpleNamespace(seed=3, modality=MODALITY)


class Mean(nn.Module):
    """Encoder with one feature for each class of `bright`, by the mean of the standardised patches."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, patches):
        x = patches.values.mean((1, 2)) * self.weight
        near = torch.stack([(-(((x - c) / 0.3) ** 2)).exp() for c in (-1.45, -0.41, 0.63)], 1)
        return Tokens(near[:, None], patches.positions[:, :1])


def test_is_the_knn_of_the_features_of_its_samples():
    data = bright(90)
    judge = online_knn(data, RUN)
    bundle = vit()
    x = torch.cat([bundle.encode(image[None]).pooled for image in judge.images])
    want = knn.accuracy(x[:60], judge.labels[:60], x[60:], judge.labels[60:])
    assert judge.train == 60 and judge(bundle.encoder, MODALITY) == pytest.approx(want, abs=1.01 / 30)
    assert judge(Mean(), MODALITY) == 1.0


def test_labels_stay_with_their_pictures_when_some_cannot_be_read():
    data = bright(120)
    data.bad = {5: "truncated", 40: "truncated"}
    judge = online_knn(data, RUN)
    assert len(judge.images) == len(judge.labels) == 118
    assert torch.equal((judge.images.float().mean((1, 2, 3)) / 60 - 0.5).round().long().clamp(0, 2), judge.labels)


def test_choice_of_samples_is_pure_in_the_seed_and_draws_nothing():
    data = bright(90)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    a, b = online_knn(data, RUN), online_knn(data, RUN)
    assert torch.equal(a.images, b.images) and a(vit().encoder, MODALITY) == b(vit().encoder, MODALITY)
    other = online_knn(data, SimpleNamespace(seed=4, modality=MODALITY))
    assert not torch.equal(a.images, other.images)
    torch.set_rng_state(state)
    a(Mean(), MODALITY)
    assert torch.equal(torch.get_rng_state(), state)


def test_leaves_the_encoder_as_it_was():
    judge, encoder = online_knn(bright(60), RUN), Mean().train()
    judge(encoder, MODALITY)
    assert encoder.training and encoder.weight.requires_grad and encoder.weight.grad is None


def test_broken_weights_score_nothing_instead_of_ending_the_run():
    encoder = Mean()
    encoder.weight.data.fill_(torch.nan)
    assert online_knn(bright(60), RUN)(encoder, MODALITY) == 0.0


def test_data_that_cannot_judge_gives_none():
    assert online_knn(Made(pictures(60)), RUN) is None
    assert online_knn(bright(20), RUN) is None
    assert online_knn(bright(60, names=("only",)), RUN) is None
