"""Features of a frozen encoder for a whole data set, read once, kept on disk.

Several clips of a sample that has time are encoded one by one: their mean features are averaged, their tokens stand side by side.
So are several views of one part of it, but for their tokens: each view is a sample of its own to a probe that looks at tokens.

The cache is keyed by everything that decides the numbers: the weights, the architecture, the preprocessing, the
data's fingerprint, the rows and the pooling. A file that is damaged is computed again.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, Shaped
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from openjepa.frozen import weights_sha256
from openjepa.probes import floors
from openjepa.probes.reading import Readable, chunks
from openjepa.probes.token_file import TokenWriter

Pooling = Literal["mean", "last4", "places", "tokens"]
MOST = 2**16  # features of a sample that "places" puts side by side
VERSION = "2"  # of what is cached: rises when the same key would give other numbers


@runtime_checkable
class Frozen(Protocol):
    """What features need of a frozen encoder; openjepa.frozen.FrozenEncoder is one."""

    @property
    def encoder(self) -> nn.Module: ...
    @property
    def modality(self) -> Any: ...
    def encode(self, views: Shaped[Tensor, "b c *size"], /, *, layers: int = 1) -> Any: ...


@dataclass(frozen=True)
class Features:
    """One row per sample that could be read; `rows` are their numbers in the data set, ascending."""

    x: Float[Tensor, "n ..."]  # [n d], or [n tokens d] with pooling "tokens"; float32
    rows: Int[Tensor, " n"]
    bad: tuple[tuple[str, str], ...] = ()  # (name, reason) of the samples left out


@dataclass(frozen=True)
class Pixels:
    """What the pixel floor and the check for shared files need of the same samples."""

    x: Shaped[Tensor, "n d"]
    hashes: Int[Tensor, " n"]  # of what was decoded, 64 bits: equal pictures under other names are equal
    summary: Float[Tensor, "n s"] | None = None  # see Modality.summary; the mean over clips and views


def pooled(encoded: Any, dim: int, pooling: Pooling, modality: Any, size: tuple[int, ...]) -> Tensor:
    """Pool what `encode(layers=depth_asked(...))` gave of views of `size`: the last four layers, or the asked one alone."""
    if pooling == "last4":
        return encoded.pooled  # type: ignore[no-any-return]
    tokens = tokens_of(encoded, dim, pooling)
    if pooling == "tokens":
        return tokens
    valid: Tensor | None = getattr(encoded, "valid", None)
    if pooling == "places":
        return side_by_side(tokens, valid, modality)
    found: Tensor = modality.pool(tokens, valid, size)
    return found


def tokens_of(encoded: Any, dim: int, pooling: Pooling) -> Float[Tensor, "b n e"]:
    """What a probe of tokens reads of what `encode(layers=depth_asked(...))` gave: last4 is the last four layers side by side."""
    tokens: Tensor = encoded.tokens[..., : dim * layers_read(pooling)]  # of all layers asked for, the earliest first
    return tokens


def side_by_side(tokens: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None, modality: Any) -> Float[Tensor, "b e"]:
    """Every token at a place of its own, as pixels are in raw samples; 0 where a sample is padded. ValueError where that says nothing."""
    if modality.placed_by_content:
        raise ValueError(
            f"pooling places compares token i of one sample with token i of another; those of {modality.kind} lie elsewhere: take mean"
        )
    n, d = tokens.shape[1:]
    if n * d > MOST:
        raise ValueError(
            f"pooling places makes {n} tokens of {d} features {n * d:,} numbers a sample, over {MOST:,}; take mean, or attentive"
        )
    flat: Tensor = tokens.flatten(1) if valid is None else tokens.masked_fill(~valid[..., None], 0).flatten(1)
    return flat


def layers_read(pooling: Pooling) -> int:
    """How many layers stand side by side in what a probe reads."""
    return 4 if pooling == "last4" else 1


def depth_asked(pooling: Pooling, layer: int) -> int:
    """How many of the last layers to ask the encoder for."""
    if pooling not in get_args(Pooling):
        raise ValueError(f"no pooling {pooling!r}; there are {', '.join(get_args(Pooling))}")
    if layer >= 0:
        raise ValueError(f"layer {layer}; layers are counted from the end: -1 is the last, -2 the one before")
    if pooling == "last4" and layer != -1:
        raise ValueError(f"pooling last4 takes the last four layers; layer {layer} means nothing beside it, leave it out")
    return max(layers_read(pooling), -layer)


def extract(
    bundle: Frozen,
    dataset: Readable,
    rows: Sequence[int] | None = None,
    *,
    pooling: Pooling = "mean",
    layer: int = -1,
    cache_dir: Path | None = None,
) -> Features:
    """Features of `dataset` (or of `rows`), from the cache when they are there.

    mean: the mean token of layer `layer`; last4: mean tokens of the last four layers side by side; places: all tokens of layer
    `layer` side by side; tokens: the same, one row each. Unreadable samples are left out and listed. ValueError when none can be read.
    """
    rows = range(len(dataset)) if rows is None else rows
    path = cache_file(bundle, dataset, rows, pooling, layer, cache_dir)
    found = load(path)
    return found if found is not None else extract_all({"": bundle}, dataset, rows, pooling, layer, {"": path})[0][""]


def extract_all(
    bundles: Mapping[str, Frozen],
    dataset: Readable,
    rows: Sequence[int],
    pooling: Pooling,
    layer: int,
    paths: Mapping[str, Path | None],
    *,
    clips: int = 1,
    views: int = 1,
    writers: Mapping[str, TokenWriter] | None = None,
    patches: floors.PatchCode | None = None,
) -> tuple[dict[str, Features], Pixels]:
    """Features of several encoders, and pixels, reading every sample once. Encoders whose file in `paths` is whole do not run.

    `writers` are given the tokens of the encoders that they are named after; the writer "pixels" is given `patches` of the views.
    """
    writers = writers or {}
    layers = depth_asked(pooling, layer)
    done = {name: found for name in bundles if (found := load(paths[name])) is not None}
    parts: dict[str, list[Tensor]] = {name: [] for name in bundles if name not in done}
    pictures, summaries, hashes, kept, bad = list[Tensor](), list[Tensor](), list[int](), list[int](), list[tuple[str, str]]()
    modality = next(iter(bundles.values())).modality
    for chunk in chunks(dataset, modality, rows, clips, views):
        bad += chunk.bad
        if not chunk.rows:
            continue
        kept += chunk.rows
        hashes += chunk.hashes
        pictures.append(torch.cat([floors.pixels(view) for view in chunk.all], 1))
        told = [found for view in chunk.all if (found := modality.summary(view)) is not None]
        summaries += [torch.stack(told).mean(0)] if told else []
        for name, bundle in bundles.items():
            if name not in parts and name not in writers:
                continue
            encoded = [bundle.encode(view, layers=layers) for view in chunk.all]
            if name in parts:
                size = tuple(chunk.all[0].shape[2:])  # of all views
                values = [pooled(one, width(bundle), pooling, modality, size) for one in encoded]
                parts[name].append(torch.cat(values, 1) if pooling == "tokens" else torch.stack(values).mean(0))
            if name in writers:
                seen = [tokens_of(one, width(bundle), pooling) for one in encoded]
                write_tokens(writers[name], seen, [getattr(one, "valid", None) for one in encoded])
        if patches is not None and "pixels" in writers:
            raw = [patches(modality.patchify(view)) for view in chunk.all]
            write_tokens(writers["pixels"], [one.values for one in raw], [one.valid for one in raw])
    if not kept:
        first = f"; the first: {bad[0][0]}: {bad[0][1]}" if bad else ""
        raise ValueError(f"none of {len(rows)} samples could be read, so there is nothing to probe{first}")
    for name, got in parts.items():
        done[name] = Features(torch.cat(got), torch.tensor(kept), tuple(bad))
        store(paths[name], done[name])
    stale = [name for name, found in done.items() if found.rows.tolist() != kept]
    if stale:  # a file broke, or was mended, since these were kept: rows must mean the same samples for every method
        paths = {name: None if name in stale else path for name, path in paths.items()}
        return extract_all(bundles, dataset, rows, pooling, layer, paths, clips=clips, views=views)
    return done, Pixels(torch.cat(pictures), torch.tensor(hashes), torch.cat(summaries) if summaries else None)


def write_tokens(writer: TokenWriter, seen: Sequence[Tensor], valid: Sequence[Tensor | None]) -> None:
    """Tokens of several clips and views of the same samples, side by side: one view of every clip, then the next of every clip."""
    order = [at for view in range(writer.views) for at in range(view, len(seen), writer.views)]
    real = [part for at in order if (part := valid[at]) is not None]
    writer.add(torch.cat([seen[at] for at in order], 1).cpu(), torch.cat(real, 1).cpu() if real else None)


def width(bundle: Frozen) -> int:
    """Features per token of one layer."""
    return int(bundle.encoder.dim)  # type: ignore[arg-type]


def cache_file(
    bundle: Frozen,
    dataset: Readable,
    rows: Sequence[int],
    pooling: Pooling,
    layer: int,
    folder: Path | None,
    clips: int = 1,
    views: int = 1,
) -> Path | None:
    """Where these features are kept; None keeps nothing."""
    if folder is None:
        return None
    weights = weights_sha256(bundle.encoder.state_dict())
    numbers = hashlib.sha256(torch.tensor(list(rows), dtype=torch.int64).numpy().tobytes())
    told = (VERSION, weights, repr(getattr(bundle.encoder, "config", None)), repr(bundle.modality), dataset.fingerprint)
    how = (pooling, layer, *((clips,) if clips > 1 else ()), *(("views", views) if views > 1 else ()))
    key = hashlib.sha256(repr((*told, numbers.hexdigest(), *how)).encode()).hexdigest()
    return folder / f"{key[:32]}.safetensors"


def store(path: Path | None, features: Features) -> None:
    """Write under a temporary name, then rename. A disk that is full costs the cache, not the result: a warning."""
    if path is None:
        return
    metadata = {"bad": json.dumps(features.bad), "sha256": digest(features.x, features.rows)}
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(save({"x": features.x.contiguous(), "rows": features.rows}, metadata))
        os.replace(temporary, path)
    except OSError as error:
        warnings.warn(f"features are not kept: cannot write {path} ({error.strerror})", stacklevel=2)
    finally:
        if temporary.exists():
            temporary.unlink()


def load(path: Path | None) -> Features | None:
    """Features kept earlier; None when there are none or the file is damaged."""
    if path is None or not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            x, rows, metadata = file.get_tensor("x"), file.get_tensor("rows"), file.metadata()
        if metadata["sha256"] == digest(x, rows):
            return Features(x, rows, tuple((name, reason) for name, reason in json.loads(metadata["bad"])))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        pass
    return None


def digest(x: Tensor, rows: Tensor) -> str:
    return hashlib.sha256(x.contiguous().numpy().tobytes() + rows.numpy().tobytes()).hexdigest()
