"""Train and test as the probes see them: features of every method, pixels, and which sample each row is."""

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from openjepa.probes import floors, token_file
from openjepa.probes.attentive import Attentive
from openjepa.probes.features import VERSION, Features, Frozen, Pixels, Pooling, cache_file, extract_all, layers_read, width
from openjepa.probes.finetune import Finetune
from openjepa.probes.judge import PROBES
from openjepa.probes.questions import Labelled
from openjepa.probes.reading import CHUNK, Readable, chunks
from openjepa.probes.token_file import TokenFeatures, TokenWriter
from openjepa.tokens import Tokens

PCA_ROWS = 10_000  # training samples the axes of the pixel floor are fitted on


@dataclass(frozen=True)
class Settings:
    """How features are taken and probed."""

    probes: tuple[str, ...] = ("knn", "linear")
    labels: tuple[str, ...] = ()  # questions asked of data that has several; empty asks all
    pooling: Pooling = "mean"
    layer: int = -1  # -1 is the last
    seed: int = 0  # of the splits, of few-shot draws and of the attentive heads
    clips: int = 1  # of a sample that has time, spread evenly over it
    views: int = 1  # of an image or a clip, spread evenly along its longer side
    group: str | None = None  # regular expression on a sample's name; its first group is never cut by a split
    held_out: tuple[str, ...] = ()  # groups to judge by; by default about a fifth of the samples in random ones
    attentive: Attentive = field(default_factory=Attentive)
    finetune: Finetune = field(default_factory=Finetune)

    def __post_init__(self) -> None:
        for name in self.probes:
            if name not in PROBES:
                near = difflib.get_close_matches(name, PROBES, 1)
                hint = f", did you mean {near[0]!r}?" if near else ";"
                raise ValueError(f"no probe {name!r}{hint} there are {', '.join(PROBES)}")
        if self.pooling == "tokens":
            raise ValueError("pooling 'tokens' gives many features per image, these probes want one; take mean, last4 or places")
        if self.clips < 1:
            raise ValueError(f"clips is {self.clips}; at least 1")
        if self.views < 1:
            raise ValueError(f"views is {self.views}; at least 1")
        if self.held_out and self.group is None:
            raise ValueError(f"held_out names the groups {', '.join(self.held_out)}, but group does not say which sample is in which")

    @property
    def tokens(self) -> bool:
        """Whether a probe wants every token."""
        return "attentive" in self.probes


@dataclass(frozen=True)
class Side:
    """Train or test, read."""

    x: Mapping[str, Tensor]  # encoder, untrained: [n d]
    pixels: Pixels
    rows: Int[Tensor, " n"]
    bad: tuple[tuple[str, str], ...]
    tokens: Mapping[str, TokenFeatures] = field(default_factory=dict)  # encoder, untrained, pixels; where a probe wants them


def read(
    bundles: Mapping[str, Frozen],
    dataset: Readable,
    rows: list[int],
    settings: Settings,
    cache_dir: Path | None,
    patches: floors.PatchCode | None = None,
) -> Side:
    """Features and pixels of `rows`, reading each sample once; with `patches` tokens, too."""
    how, clips, views = (settings.pooling, settings.layer), settings.clips, settings.views
    paths = {name: cache_file(bundle, dataset, rows, *how, cache_dir, clips, views) for name, bundle in bundles.items()}
    if patches is None:
        features, pixels = extract_all(bundles, dataset, rows, *how, paths, clips=clips, views=views)
        return side(features, pixels, {})
    token_paths: dict[str, Path | None] = dict.fromkeys([*bundles, "pixels"])
    if cache_dir is not None:
        of: Pooling = "last4" if settings.pooling == "last4" else "tokens"
        for name, bundle in bundles.items():
            path = cache_file(bundle, dataset, rows, of, settings.layer, cache_dir, clips, views)
            token_paths[name] = path.with_suffix(".tokens") if path else None
        modality = next(iter(bundles.values())).modality
        key = repr((VERSION, repr(modality), dataset.fingerprint, list(rows), clips, views, patches.fingerprint))
        token_paths["pixels"] = cache_dir / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.tokens"
    found = {name: kept for name, path in token_paths.items() if (kept := token_file.load(path)) is not None}
    while True:
        writers = {name: TokenWriter(path, settings.views) for name, path in token_paths.items() if name not in found}
        with ExitStack() as undo:  # whatever ends it, a half-written file of tokens must not stay
            for writer in writers.values():
                undo.callback(writer.drop)
            features, pixels = extract_all(bundles, dataset, rows, *how, paths, clips=clips, views=views, writers=writers, patches=patches)
            undo.pop_all()
        any_of = next(iter(features.values()))
        numbers = any_of.rows.tolist()
        for name, writer in writers.items():
            found[name] = (writer.close(numbers, any_of.bad), numbers)
        stale = [name for name, (_, kept) in found.items() if kept != numbers]
        if not stale:  # else a file broke, or was mended, since these were kept
            return side(features, pixels, {name: tokens for name, (tokens, _) in found.items()})
        for name in stale:
            del found[name]


def side(features: Mapping[str, Features], pixels: Pixels, tokens: Mapping[str, TokenFeatures]) -> Side:
    any_of = next(iter(features.values()))
    return Side({name: f.x for name, f in features.items()}, pixels, any_of.rows, any_of.bad, tokens)


def patch_code(bundle: Frozen, dataset: Readable, rows: Sequence[int], settings: Settings) -> floors.PatchCode | None:
    """Raw patches as tokens, their axes fitted on a few training samples; None where none of them can be read."""
    some = rows[:: -(-len(rows) // CHUNK)]
    read = chunks(dataset, bundle.modality, some, settings.clips, settings.views)
    seen = [bundle.modality.patchify(view) for chunk in read if chunk.rows for view in chunk.all]
    if not seen:
        return None
    valid = None if seen[0].valid is None else torch.cat([part.valid for part in seen])
    every = Tokens(torch.cat([part.values for part in seen]), torch.cat([part.positions for part in seen]), valid)
    return floors.patch_code(every, width(bundle) * layers_read(settings.pooling), settings.seed)


def with_pixels(train: Side, test: Side, dim: int, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """(train, test) features of every method, and the modality's summary if it has one.

    Pixels by their PCA to the encoder's width, fitted on train.
    """
    stride = -(-len(train.pixels.x) // PCA_ROWS)  # a stride keeps every class in the sample, whatever the order
    pca = floors.pca(train.pixels.x[::stride], dim, seed=seed)
    found = {name: (x, test.x[name]) for name, x in train.x.items()} | {"pixels": (pca(train.pixels.x), pca(test.pixels.x))}
    if train.pixels.summary is not None and test.pixels.summary is not None:
        found["summary"] = (train.pixels.summary, test.pixels.summary)
    return found


def shared(train: Side, test: Side, test_data: Labelled) -> list[str]:
    """A warning when test pictures also lie in train, whatever their names."""
    both = torch.isin(test.pixels.hashes, train.pixels.hashes)
    count = int(both.sum())
    if not count:
        return []
    name = test_data.dataset.name(int(test.rows[both.nonzero()[0, 0]]))
    share = f"{count} of {len(both)} test pictures ({100 * count / len(both):.2g} %)"
    return [f"{share} are also in train, the first is {name}; scores are too good, remove them"]
