"""Which token each pixel shows, and what is drawn on a view."""

import pytest
import torch

from openjepa.modalities.audio import Audio
from openjepa.modalities.drawn import BORDERS, GAP, Drawn, beside
from openjepa.modalities.grid import Grid
from openjepa.modalities.image import Image
from openjepa.modalities.points import Points
from openjepa.modalities.series import Series
from openjepa.modalities.table import Column, Table
from openjepa.modalities.video import Video

AUDIO = Audio(rate=8_000, size=(20, 30), patch=(5, 10), mean=0.0, std=0.5)
TABLE = Table(columns=(Column(name="a"), Column(name="b", categories=("x", "y")), Column(name="c")))


@pytest.mark.parametrize(
    ("modality", "shape"),
    [
        (Image(size=(12, 16), patch=(4, 4)), (3, 12, 16)),
        (Image(size=(12, 16), patch=(4, 4)), (3, 8, 24)),
        (Video(size=(4, 12, 16), patch=(2, 4, 8)), (3, 4, 12, 16)),
        (AUDIO, (1, 20, 30)),
        (TABLE, (1, 3)),
    ],
)
def test_the_pixels_of_a_token_are_those_that_change_with_its_numbers(modality, shape):
    """The oracle is `unpatchify`: of each token in turn other numbers, and nothing else."""
    x = torch.zeros(1, *shape)
    tokens, plain = modality.patchify(x).values, modality.draw(x[0])
    for k in range(modality.registers, tokens.shape[1]):
        other = tokens.clone()
        other[:, k, : 1 if modality is TABLE else None] = 0.9
        if modality is TABLE:
            view = x.clone()
            view[0, 0, k - 1] = 1
        else:
            view = modality.unpatchify(other, shape[1:])
        changed = (modality.draw(view[0]).frames != plain.frames).any(-1)
        assert changed.any() and (plain.tokens[changed] == k).all()
        if modality is not TABLE:
            assert torch.equal(changed, plain.tokens == k)


@pytest.mark.parametrize(("layout", "tokens"), [("joint", [[0, 1, 2]] * 2), ("per_channel", [[0, 1, 2], [3, 4, 5]])])
def test_traces_lie_in_the_lane_and_the_stretch_of_their_token(layout, tokens):
    drawn = Series(channels=2, size=(24,), patch=(8,), layout=layout, mean=(0.0, 0.0), std=(1.0, 1.0)).draw(torch.randn(2, 24))
    h, w = drawn.tokens.shape[1:]
    found = [[int(drawn.tokens[0, round((c + 0.5) * h / 2), round((p + 0.5) * w / 3)]) for p in range(3)] for c in range(2)]
    assert found == tokens
    assert torch.equal(
        drawn.tokens.unique(return_counts=True)[1], torch.tensor([h * w // len(drawn.tokens.unique())] * len(drawn.tokens.unique()))
    )


def test_a_point_shows_the_group_of_its_nearest_centre():
    points = Points(size=(64,), groups=8, neighbours=8)
    x = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    x = (x - x.mean(1, keepdim=True)) / x.norm(dim=0).max()
    drawn = points.draw(x)
    ink = (drawn.frames != 255).any(-1)
    assert torch.equal(ink, drawn.tokens >= 0) and set(drawn.tokens.unique().tolist()) == {-1, *range(8)}


def test_a_modality_that_does_not_draw_says_so():
    class Own(Grid):
        pass

    with pytest.raises(ValueError, match=r"Own does not say .* draw\(x\)"):
        Own(channels=1, size=(8,), patch=(4,)).draw(torch.zeros(1, 8))


# ---- on a drawing


def frames(t=1):
    modality = Video(size=(t, 24, 40), patch=(1, 8, 8))
    return modality.draw(torch.randint(0, 256, (3, t, 24, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)))


def test_only_the_places_that_are_seen_keep_their_pixels():
    drawn = frames(2)
    seen = drawn.only(torch.tensor([1, 15]))
    assert torch.equal(seen.frames[0, :8, 8:16], drawn.frames[0, :8, 8:16]) and torch.equal(seen.frames[1, :8, :8], drawn.frames[1, :8, :8])
    seen.frames[0, :8, 8:16] = seen.frames[1, :8, :8] = 128
    assert (seen.frames == 128).all()
    paper = Drawn(drawn.frames, torch.full_like(drawn.tokens, -1))
    assert torch.equal(paper.only(torch.tensor([0])).frames, drawn.frames)  # what shows no token is never hidden


def test_asked_places_keep_their_pixels_and_the_rest_is_pale():
    drawn = frames().enlarged(120)
    assert drawn.frames.shape == (1, 72, 120, 3)
    out, large = drawn.asked(torch.tensor([[0, 1], [14, 13]])).frames[0], drawn.frames[0]
    assert torch.equal(out[2:22, 2:46], large[2:22, 2:46])  # inside the line around places 0 and 1
    assert (out[0, :48] == torch.tensor(BORDERS[0])).all() and (out[-1, -48:] == torch.tensor(BORDERS[1])).all()
    assert torch.allclose(out[30:40].float(), 0.35 * large[30:40].float() + 63.75, atol=1)


def test_colours_lie_where_their_tokens_are():
    drawn = frames(2)
    rgb = torch.rand(30, 3, generator=torch.Generator().manual_seed(1))
    coloured = drawn.coloured(rgb).frames
    assert torch.equal(coloured[1, 8:16, 32:40], (255 * rgb[15 + 9]).round().byte().expand(8, 8, 3))
    assert (Drawn(drawn.frames, torch.full_like(drawn.tokens, -1)).coloured(rgb).frames == 255).all()


def test_parts_stand_beside_or_below_each_other():
    drawn = frames(3)
    strip = drawn.strip(2)
    assert strip.frames.shape == (1, 24, 80 + GAP, 3) and not strip.moves and strip.wide and not drawn.wide
    assert torch.equal(strip.frames[0, :, :40], drawn.frames[0]) and torch.equal(strip.frames[0, :, -40:], drawn.frames[2])
    assert (strip.frames[0, :, 40 : 40 + GAP] == 255).all() and (strip.tokens[0, :, 40 : 40 + GAP] == -1).all()
    assert drawn.strip(3, down=True).frames.shape == (1, 3 * 24 + 2 * GAP, 40, 3)
    assert beside([drawn, drawn]).frames.shape == (3, 24, 80 + GAP, 3)
