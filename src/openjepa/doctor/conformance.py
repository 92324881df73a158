"""Does a modality keep the laws that training relies on? The suite for a user's own, and a test of ours."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from openjepa.masks.random import Random
from openjepa.modalities.modality import BadSample, Modality
from openjepa.models.encoder import Encoder, EncoderConfig
from openjepa.run import read_modality, write_modality
from openjepa.tokens import Masks, Tokens

SEED, ROWS = 7, (3, 11, 5)
DRAWS = 400  # masks drawn to see every place on both sides


@dataclass(frozen=True)
class Check:
    law: str
    fault: str | None = None  # what is wrong; None: it holds
    note: str = ""  # what is declared or could not be looked at

    def __str__(self) -> str:
        said = "ok    " if self.fault is None else "BROKEN"
        return f"{said} {self.law}" + "".join(f": {text}" for text in (self.fault, self.note) if text)


class Broken(AssertionError):
    """A law that does not hold, with what came and what to change."""


def check(modality: Modality, samples: Sequence[Tensor] | None = None, files: Sequence[bytes] = ()) -> list[Check]:
    """Every law, each on its own, whatever the others say.

    Args:
        samples: stored samples cut in time, [c *axes]; by default `modality.example(...)`.
        files: contents of a few of its files, for the laws of `decode`.
    """
    laws: list[tuple[str, Callable[[], str | None]]] = [("plain values that run.json gives back", lambda: plain(modality))]
    if files:
        laws.append(
            ("decode(file, at) is cut(decode(file), at) to the bit; a broken file is a BadSample", lambda: decoding(modality, files))
        )
    try:
        some = list(samples) if samples is not None else [modality.example(SEED, row) for row in ROWS]
        some = (some * len(ROWS))[: len(ROWS)]
        modality = modality.settle(some)
        view = modality.augment(some, SEED, 0, ROWS)
    except Exception as error:  # noqa: BLE001 - a user's code: whatever it raises is the finding
        return [*(hold(law, look) for law, look in laws), Check("samples become training views", f"{type(error).__name__}: {error}")]
    laws += [
        ("views are [b channels *size], finite, alike from augment and center", lambda: views(modality, some, view)),
        ("same seed, same view; each sample's view is its own, whatever the batch", lambda: pure(modality, some, view)),
        ("tokens are float32, as many as places, each at its own position", lambda: tokens(modality, view)),
        ("positions do not depend on content", lambda: positions(modality, view)),
        ("unpatchify is the exact inverse, or `lossy` is declared", lambda: inverse(modality, view)),
        ("a remainder is an error", lambda: remainder(modality)),
        ("no target content reaches the context", lambda: leak(modality, view)),
        ("padding is invisible", lambda: padding(modality, view)),
        ("every place is sometimes context and sometimes target", lambda: coverage(modality)),
        ("pool gives one row of features per view, from its own real tokens", lambda: pooling(modality, view)),
        ("a view can be drawn, each pixel of a token that there is", lambda: drawing(modality, view)),
    ]
    return [hold(law, look) for law, look in laws]


def hold(law: str, look: Callable[[], str | None]) -> Check:
    try:
        return Check(law, None, look() or "")
    except Broken as broken:
        return Check(law, str(broken))
    except Exception as error:  # noqa: BLE001 - as above
        return Check(law, f"{type(error).__name__}: {error}")


def need(holds: bool, fault: str) -> None:
    if not holds:
        raise Broken(fault)


def plain(modality: Modality) -> None:
    need(isinstance(modality, Modality), f"{type(modality).__name__} is not a subclass of openjepa.modalities.modality.Modality")
    need(dataclasses.is_dataclass(modality), "the class is not a dataclass; write @dataclass(frozen=True, kw_only=True) above it")
    need(type(modality).__dataclass_params__.frozen, "the dataclass is not frozen; write @dataclass(frozen=True, kw_only=True)")  # type: ignore[attr-defined]
    saved = json.loads(json.dumps(write_modality(modality)))
    back = read_modality(saved)
    need(back == modality, f"run.json gives back {back}; fields must be numbers, strings, booleans, None or tuples of them")


def decoding(modality: Modality, files: Sequence[bytes]) -> str:
    read = 0
    for data in files:
        try:
            whole = modality.decode(data).pixels
        except BadSample:
            continue
        read += 1
        for at in (0.0, 0.37, 0.999):
            part = modality.decode(data, at).pixels
            need(torch.equal(part, modality.cut(whole, at)), f"decode(file, {at}) differs from cut(decode(file), {at})")
    need(read > 0, "none of the files can be decoded")
    for broken in (b"", bytes(64), files[0][: len(files[0]) // 2]):
        try:
            modality.decode(broken)
        except BadSample:
            continue
        except Exception as error:
            raise Broken(f"a broken file raises {type(error).__name__} ({error}); raise BadSample with the reason") from error
    return f"{read} files"


def views(modality: Modality, some: list[Tensor], view: Tensor) -> None:
    wanted = (len(some), modality.channels, *modality.size)
    for name, x in (("augment", view), ("center", modality.center(some))):
        need(tuple(x.shape) == wanted, f"{name} gives {list(x.shape)}; {list(wanted)} is wanted")
        need(x.dtype in (torch.uint8, torch.float32), f"{name} gives {x.dtype}; uint8 or float32 is wanted")
        ready = modality.prepare(x)
        need(ready.dtype == torch.float32, f"prepare gives {ready.dtype}; float32 is wanted")
        if x.dtype == torch.uint8 or not x.isnan().any():  # NaN marks padding
            need(bool(ready.isfinite().all()), f"{name} and prepare give numbers that are not finite")


def pure(modality: Modality, some: list[Tensor], view: Tensor) -> None:
    again = modality.augment(some, SEED, 0, ROWS)
    need(same(again, view), "augment gives other numbers the second time; draw from openjepa.draws.uniform(seed, step, rows, ...)")
    alone = modality.augment(some[1:2], SEED, 0, ROWS[1:2])
    need(same(alone, view[1:2]), "a sample's view depends on the others in its batch; draw per row with openjepa.draws.uniform")


def same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(((a == b) | (a != a) & (b != b)).all())


def tokens(modality: Modality, view: Tensor) -> str:
    found = modality.patchify(view)
    need(found.values.dtype == torch.float32, f"token values are {found.values.dtype}; float32 is wanted")
    need(
        found.positions.dtype == torch.float32,
        f"positions are {found.positions.dtype}; float32 is wanted (bfloat16 cannot tell 256 from 257)",
    )
    count, dim = found.values.shape[1:]
    need(found.positions.shape[:2] == found.values.shape[:2], f"{found.positions.shape[1]} positions for {count} tokens")
    places = modality.registers + int(np.prod(modality.grid))
    need(count == places, f"{count} tokens, but grid {modality.grid} and {modality.registers} registers make {places}")
    need(dim == modality.patch_dim, f"tokens have {dim} numbers, but patch_dim says {modality.patch_dim}")
    need(bool(found.values.isfinite().all()), "token values are not finite")
    different = len(torch.unique(found.positions[0], dim=0))
    need(different == count, f"{count} tokens lie at {different} different positions; a predictor could not tell them apart")
    return f"{count} tokens of {dim}"


def positions(modality: Modality, view: Tensor) -> str | None:
    if modality.placed_by_content:
        return "declared: positions come from the content (placed_by_content)"
    a, b = modality.patchify(view).positions, modality.patchify(view.flip(0)).positions
    need(bool((a[0] == b[0]).all()), "positions change with the content; declare placed_by_content = True if that is meant")
    return None


def inverse(modality: Modality, view: Tensor) -> str | None:
    if modality.lossy:
        return f"declared lossy: {modality.lossy}"
    if view.is_floating_point():  # what is padded (NaN) cannot come back
        view = view[~view.flatten(1).isnan().any(1)]
        if not len(view):
            return "not looked at: every view is padded"
    back = modality.unpatchify(modality.patchify(view).values)
    wanted = modality.prepare(view)
    need(back.shape == wanted.shape, f"unpatchify gives {list(back.shape)}; {list(wanted.shape)} went in")
    off = float((back - wanted).abs().max())
    need(off == 0, f"unpatchify(patchify(x)) differs from x by up to {off:.3g}; say why in `lossy` if it must")
    return None


def remainder(modality: Modality) -> str | None:
    """Sizes one number longer on an axis: an error, unless every number is a token of its own."""
    for axis, length in enumerate(modality.size):
        longer = tuple(n + (i == axis) for i, n in enumerate(modality.size))
        try:
            places = modality.places(longer)
        except ValueError:
            continue
        need(
            int(np.prod(places)) > int(np.prod(modality.grid)) or modality.lossy != "",
            f"places({longer}) drops a part of axis {axis} (of length {length + 1}) silently; raise ValueError that names the sizes that fit",
        )
    return None


def leak(modality: Modality, view: Tensor) -> str | None:
    """The gradient of context features with respect to numbers that only targets are made of is exactly zero."""
    if modality.overlapping:
        return f"declared: {modality.overlapping}"
    x = modality.prepare(view).nan_to_num().clone().requires_grad_(True)
    patches: Tokens = modality.patchify(x)
    if not patches.values.requires_grad:
        return "not looked at: patchify cuts the gradient"
    masks = Random(ratio=0.5)(modality.grid, SEED, 0, ROWS).behind(modality.registers)
    with torch.random.fork_rng([]):
        torch.manual_seed(SEED)
        encoder = Encoder(EncoderConfig(dim=24, depth=1, heads=2), modality.patch_dim)
    context = encoder(patches.take(masks.context)).values
    seen = torch.autograd.grad(context.square().sum(), x, retain_graph=True)[0]
    targets = patches.take(masks.targets.flatten(1)).values
    made_of = torch.autograd.grad(targets.square().sum() + targets.sum(), x)[0]
    both = (seen != 0) & (made_of != 0)
    need(
        not bool(both.any()),
        f"{int(both.sum())} numbers of targets change the context's features: scale and mix inside a token only, or before the view is made; "
        "declare `overlapping` if tokens share numbers by design",
    )
    return None


def padding(modality: Modality, view: Tensor) -> str | None:
    padded = modality.pad(view)
    if padded is None:
        return "no padding: every sample fills its view"
    short, garbage = (modality.patchify(x) for x in padded)
    if short.valid is None or garbage.valid is None:
        raise Broken("a padded view gives tokens without `valid`")
    need(bool((short.valid == garbage.valid).all()), "what stands in the padding changes which tokens are valid")
    need(not bool(short.valid.all()), "a padded view has no invalid token")
    need(same(short.values[short.valid], garbage.values[short.valid]), "what stands in the padding changes a valid token")
    return None


def coverage(modality: Modality) -> str:
    total = int(np.prod(modality.grid))
    masks: Masks = Random(ratio=0.5)(modality.grid, SEED, 0, range(DRAWS))
    for name, index in (("context", masks.context), ("target", masks.targets.flatten(1))):
        never = total - len(torch.unique(index))
        need(never == 0, f"{never} of {total} places were never {name} in {DRAWS} masks")
    return f"{DRAWS} masks of {total} places"


def pooling(modality: Modality, view: Tensor) -> str:
    found = modality.patchify(view)
    values = torch.randn((*found.values.shape[:2], 8), generator=torch.Generator().manual_seed(SEED))
    size = tuple(view.shape[2:])
    pooled = modality.pool(values, found.valid, size)
    need(
        pooled.ndim == 2 and len(pooled) == len(view), f"pool gives {list(pooled.shape)} for {len(view)} views; [views features] is wanted"
    )
    need(bool(pooled.isfinite().all()), "pool gives numbers that are not finite")
    alone = modality.pool(values[1:2], None if found.valid is None else found.valid[1:2], size)
    need(torch.allclose(alone, pooled[1:2], atol=1e-5), "a view's pooled features depend on the others in its batch")
    if found.valid is not None:
        other = modality.pool(values.masked_fill(~found.valid[..., None], 5.0), found.valid, size)
        need(torch.allclose(other, pooled, atol=1e-5), "pool counts tokens that are padding; leave out those where `valid` is False")
    return f"{pooled.shape[1] // 8} x the width of a token"


def drawing(modality: Modality, view: Tensor) -> str:
    if type(modality).draw is Modality.draw:
        return "not drawn: reports and the doctor show no pictures; give it a method draw(x) -> Drawn"
    drawn = modality.draw(view[0])
    frames, shows = drawn.frames, drawn.tokens
    need(
        frames.dtype == torch.uint8 and frames.ndim == 4 and frames.shape[3] == 3,
        f"draw gives frames {frames.dtype} {list(frames.shape)}; uint8 [frames height width 3] is wanted",
    )
    need(shows.shape == frames.shape[:3], f"draw gives tokens {list(shows.shape)} for frames {list(frames.shape)}; one per pixel is wanted")
    total = modality.patchify(view[:1]).values.shape[1]
    low, high = int(shows.min()), int(shows.max())
    need(low >= -1 and high < total, f"draw shows tokens {low} to {high}; there are 0 to {total - 1}, and -1 for pixels of none")
    seen = len(torch.unique(shows[shows >= 0]))
    need(seen > 0, "draw shows no token")
    return f"{seen} of {total} tokens in {len(frames)} pictures of {frames.shape[1]} x {frames.shape[2]}"


def broken(checks: Sequence[Check]) -> Iterator[Check]:
    return (check for check in checks if check.fault is not None)
