"""A spectrogram's cells as sound: what the encoder was given, what was hidden, and the real sound most like the guess.

Cells are cut out of the waveform's own short-time Fourier transform, with its phases; nothing is vocoded. Both ways
are linear, so what is left in and what is cut out add up to the original.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Bool, Float32, Int64, Shaped
from torch import Tensor

from openjepa.explore.question import Box, Mode, numbers, question
from openjepa.modalities import sound
from openjepa.modalities.audio import Audio
from openjepa.modalities.fbank import LOW, frame_samples, mel, padded

if TYPE_CHECKING:
    from openjepa.explore.explorer import Explorer
    from openjepa.explore.inputs import Inputs

FINER = 4  # frequencies of the transform per frequency of the model's: narrow bands have some of their own
What = Literal["original", "context", "hidden", "nearest"]


@dataclass(frozen=True)
class Axes:
    """What the grid's numbers mean. Token i of time is seconds[i] to seconds[i + 1], row j of bands hz[j] to hz[j + 1]."""

    seconds: tuple[float, ...]
    hz: tuple[float, ...]
    rate: int


def audio(modality: object) -> Audio:
    if not isinstance(modality, Audio):
        raise ValueError(f"this run learns from {getattr(modality, 'kind', 'something else')}; choose a run on sounds to listen")
    return modality


def axes(modality: Audio) -> Axes:
    """Bands end where the triangle of the next one becomes the larger; the outermost at the filters' own ends."""
    hop = steps(modality)[1]
    times = [i * modality.patch[0] * hop / modality.rate for i in range(modality.grid[0] + 1)]
    return Axes(tuple(times), (LOW, *crossings(modality)[1:-1], modality.rate / 2), modality.rate)


def crossings(modality: Audio) -> list[float]:
    """Where triangles of neighbouring rows of bands cross, in Hz."""
    low, high = mel(torch.tensor([LOW, modality.rate / 2], dtype=torch.float64)).tolist()
    step = (high - low) / (modality.size[1] + 1)  # as fbank.filters has it: band m is largest at low + step * (m + 1)
    at = low + step * (0.5 + modality.patch[1] * torch.arange(modality.grid[1] + 1, dtype=torch.float64))
    edges: list[float] = (700 * torch.expm1(at / 1127)).tolist()
    return edges


def shown(modality: Audio, sample: Shaped[Tensor, "1 n"]) -> Float32[Tensor, " length"]:
    """The waveform of the view that evaluation takes of a sample, as Audio.views cuts, repeats or pads it."""
    length = modality.samples(modality.size[0])
    first, count = sound.span(sample.shape[1], length, 0.5)
    wave = sample[0, first : first + count].float()
    if count < length and modality.short == "repeat":
        return wave[torch.arange(length) % count]
    return torch.nn.functional.pad(wave, (0, length - count))


def split(
    modality: Audio, wave: Float32[Tensor, " n"], hidden: Bool[Tensor, "times rows"]
) -> tuple[Float32[Tensor, " n"], Float32[Tensor, " n"]]:
    """What is left of a view's waveform without the `hidden` tokens of the grid, and these alone."""
    window, hop = steps(modality)
    wide = max(window, 2 * hop)  # windows that overlap by less than half cannot be put together again
    settings: dict[str, Any] = {
        "n_fft": FINER * padded(wide),
        "hop_length": hop,
        "win_length": wide,
        "window": torch.hann_window(wide),
        "center": True,
    }
    before = ceil(window / 2 / hop)  # frames more than the model has, so that each of its own has its middle where the model's has
    skip = before * hop - window // 2
    wave = torch.nn.functional.pad(wave, (skip, 0))
    spectra = torch.stft(wave, pad_mode="constant", return_complex=True, **settings)
    where = cells(modality, hidden, spectra.shape[0], torch.arange(spectra.shape[1]) - before)
    parts = (spectra.masked_fill(where, 0), spectra.masked_fill(~where, 0))
    left, cut = (torch.istft(part, length=len(wave), **settings)[skip:] for part in parts)
    return left, cut


def cells(modality: Audio, tokens: Bool[Tensor, "times rows"], bins: int, frames: Int64[Tensor, " t"]) -> Bool[Tensor, "bins t"]:
    """Which numbers of a transform belong to the tokens: `bins` frequencies from 0 to half the rate, `frames` as the model counts.

    What lies beyond the edge of the view, or of the filters, counts as the token at that edge.
    """
    time = frames.div(modality.patch[0], rounding_mode="floor").clamp(0, modality.grid[0] - 1)
    hertz = torch.arange(bins, dtype=torch.float64) * (modality.rate / 2 / (bins - 1))
    row = torch.bucketize(hertz, torch.tensor(crossings(modality)[1:-1], dtype=torch.float64))
    return tokens[time][:, row].T


def inside(modality: Audio, boxes: Sequence[Box]) -> Bool[Tensor, "times rows"]:
    """The tokens of all boxes."""
    found = torch.zeros(modality.grid, dtype=torch.bool)
    for box in boxes:
        found.view(-1)[numbers(box.inside(modality.grid), modality.grid)] = True
    return found


def steps(modality: Audio) -> tuple[int, int]:
    """Samples of the model's window, and from one to the next."""
    return frame_samples(modality.rate, modality.window_ms, modality.hop_ms)


@torch.no_grad()
def render(
    source: "Explorer | Inputs",
    name: str,
    targets: Sequence[Box] = (),
    what: What = "original",
    target: int = 0,
    context: Box | None = None,
    mode: Mode = "strict",
) -> Float32[Tensor, " n"]:
    """Samples at the modality's rate, as long as the view. context: all that the encoder is given when asked with these settings.

    nearest: the window of the bank that is most like the guess for box `target`, cut out of its own sound and put at the
    time of the box. ValueError without boxes where some are wanted, or where the bank holds nothing else.
    """
    from openjepa.explore.inputs import Inputs

    inputs = source if isinstance(source, Inputs) else source.inputs
    modality = audio(inputs.modality)
    if what == "nearest":
        if isinstance(source, Inputs):
            raise ValueError("the sound nearest to a guess needs a model; give an Explorer")
        return nearest(source, name, targets, target, context, mode)
    wave = shown(modality, inputs.sample(name))
    if what == "original":
        return wave
    if not targets:
        raise ValueError("no boxes; what is hidden has to be said")
    if what == "hidden":
        return split(modality, wave, inside(modality, targets))[1]
    hidden = torch.ones(modality.grid, dtype=torch.bool)
    hidden.view(-1)[question(modality, targets, context, mode).context] = False
    return split(modality, wave, hidden)[0]


def nearest(
    explorer: "Explorer", name: str, targets: Sequence[Box], target: int = 0, context: Box | None = None, mode: Mode = "strict"
) -> Float32[Tensor, " n"]:
    from openjepa.explore.neighbours import neighbours

    modality = audio(explorer.modality)
    hits = neighbours(explorer, name, targets, target, 1, context, mode)
    if not hits:
        raise ValueError("there is no other sound to compare with yet; wait until the bank has some, or open a run with its data")
    wave = shown(modality, explorer.inputs.sample(hits[0].input))
    part = split(modality, wave, inside(modality, [Box(hits[0].at, hits[0].size)]))[1]
    later = (targets[target].at[0] - hits[0].at[0]) * modality.patch[0] * steps(modality)[1]
    moved = part.roll(later)
    if later > 0:
        moved[:later] = 0
    elif later < 0:
        moved[later:] = 0
    return moved
