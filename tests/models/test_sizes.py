"""Published parameter counts (I-JEPA's code at 224 px, spec 1.2): encoders and predictors."""

import pytest
import torch

from openjepa.models.encoder import SIZES, Encoder, vit
from openjepa.models.predictor import Predictor, PredictorConfig

ENCODERS = {"tiny": 5_486_400, "small": 21_589_632, "base": 85_646_592, "large": 303_098_880, "huge": 630_434_560, "giant": 1_011_092_608}
PREDICTORS = {
    "tiny": (6, 10_795_968),
    "small": (6, 10_943_616),
    "base": (6, 11_238_912),
    "large": (12, 22_082_560),
    "huge": (12, 22_279_424),
    "giant": (16, 29_475_712),
}


def count(module):
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


@pytest.mark.parametrize("size", SIZES)
def test_sizes_have_the_published_parameters(size):
    patch = 14 if size == "huge" else 16
    with torch.device("meta"):
        encoder = Encoder(vit(size), 3 * patch * patch)
        depth, wanted = PREDICTORS[size]
        predictor = Predictor(PredictorConfig(dim=384, depth=depth, heads=SIZES[size].heads), encoder.dim, encoder.dim)
    assert count(encoder) == ENCODERS[size]
    assert count(predictor) == wanted


def test_an_unknown_size_names_those_there_are():
    with pytest.raises(ValueError, match="no ViT size 'gigantic'; there are tiny, small"):
        vit("gigantic")
