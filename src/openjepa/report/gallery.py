"""The parts of the page that need the images and the weights: what was asked, what features see, what is alike."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Shaped
from torch import Tensor

from openjepa.checkpoint import RunFolder, load_encoder
from openjepa.data.dataset import Dataset, open_dataset
from openjepa.frozen import Encoded
from openjepa.modalities.drawn import Drawn, beside
from openjepa.modalities.modality import BadSample, Modality
from openjepa.models.own import OwnEncoder
from openjepa.report import pictures
from openjepa.report.text import safe

SHOWN = 6  # pictures in a figure
POOL = 400  # images among which neighbours are looked for, and over which principal components are taken, at most
WORK = 3e12  # multiplications spent on their features: half a minute on two CPU cores; large encoders see fewer images
FRAMES = 3  # of a video in a cell
ALIKE = 5  # neighbours of each query


@dataclass(frozen=True)
class Looked:
    """Samples of the run's data, spread evenly over it, and where they came from."""

    run: RunFolder
    dataset: Dataset
    rows: list[int]
    images: list[Tensor]  # stored samples, cut in time

    @classmethod
    def at(cls, run: RunFolder) -> "Looked":
        """Read as many samples as WORK allows. ValueError or OSError when the data is not there any more."""
        dataset, _ = open_dataset(run.run.data.path, run.run.modality, "off", run.run.data.exclude)
        rows, images = [], []
        for row in spread(len(dataset), pool(run)):
            try:
                images += list(dataset.read([row]))
            except BadSample:  # the ledger has it
                continue
            rows.append(row)
        if len(images) < 2:
            raise ValueError(f"{run.run.data.path} has {len(images)} {run.run.modality.kind} that can be read; 2 are needed for pictures")
        return cls(run, dataset, rows, images)

    @cached_property
    def centred(self) -> Shaped[Tensor, "b c *size"]:
        """The samples as evaluation sees them."""
        return self.run.run.modality.center(self.images)

    @cached_property
    def trained(self) -> Encoded:
        return load_encoder(self.run.path).encode(self.centred)

    @cached_property
    def untrained(self) -> Encoded:
        return load_encoder(self.run.path, untrained=True).encode(self.centred)

    @property
    def shown(self) -> list[int]:
        """Positions of the pictures that figures show."""
        return spread(len(self.images), SHOWN)

    def picture(self, i: int) -> Drawn:
        """One sample as evaluation sees it; of a film a few frames, since the cells of a page are small."""
        return self.run.run.modality.draw(self.centred[i]).strip(FRAMES)

    def name(self, i: int) -> str:
        return self.dataset.name(self.rows[i])

    def label(self, i: int) -> str | None:
        """Its class in the first question that the data answers."""
        for labels in self.dataset.labels.values():
            return labels.names[int(labels.values[self.rows[i]])]
        return None


def pool(run: RunFolder) -> int:
    """How many images the trained and the untrained encoder can afford to look at."""
    encoder, grid = run.run.objective.encoder, run.run.modality.grid
    if isinstance(encoder, OwnEncoder):  # what it costs nobody knows
        return 8 * SHOWN
    weights = encoder.depth * (4 + 2 * encoder.mlp) * encoder.dim**2
    return round(min(POOL, max(8 * SHOWN, WORK / (2 * weights * math.prod(grid)))))


def spread(n: int, most: int) -> list[int]:
    """`most` of n numbers, or all, evenly from the first to the last."""
    return sorted({round(float(x)) for x in np.linspace(0, n - 1, most)})


def attempt(part: Callable[[], str]) -> str:
    """A part of the page, or why it cannot be shown: the page must not fail because a disk was unplugged."""
    try:
        return part()
    except (ValueError, OSError) as error:
        return f"<p class=missing>Not shown: {safe(error)}</p>"


def grid_of(columns: str, cells: Sequence[str]) -> str:
    return f'<div class=gallery style="grid-template-columns:{columns}">{"".join(cells)}</div>'


def masks(looked: Looked) -> str:
    """Crops and masks exactly as step 0 would draw them for these samples."""
    run = looked.run.run
    rows = np.array([looked.rows[i] for i in looked.shown])
    crops = run.modality.augment([looked.images[i] for i in looked.shown], run.seed, 0, rows)
    drawn = run.objective.collate(crops, run.modality, run.seed, 0, rows).masks
    cards, wide, moves = [], False, False
    for n, i in enumerate(looked.shown):
        views = card(run.modality, crops[n], [(m.context[n], m.targets[n]) for m in drawn])
        wide, moves = wide or views[0][0].wide, moves or views[0][0].moves
        cards.append(shown_card(views, looked.name(i)))
    order = "Below each other" if wide or moves else "From left to right"
    counts = "; ".join(safe(pictures.mask_counts(m)) for m in drawn)
    several = f" {len(drawn)} kinds of masks, each learnt from in every step." if len(drawn) > 1 else ""
    shape = " x ".join(map(str, run.modality.grid))
    return (
        f"<p class=note>{order}: the crop, the context (all that the encoder is given), what the predictor is asked."
        f"{several} {counts}, of {shape} places; drawn anew for every sample and step.</p>"
        + grid_of("minmax(0,1fr);gap:22px" if wide or moves else "repeat(auto-fill,minmax(min(100%,330px),1fr));gap:16px 30px", cards)
    )


def card(modality: Modality, view: Tensor, drawn: Sequence[tuple[Tensor, Tensor]]) -> list[tuple[Drawn, str]]:
    """A view, and the context and the targets of each kind of masks, with what they are."""
    whole = modality.draw(view)
    found = [(whole, "crop")]
    for context, targets in drawn:
        found.append((whole.only(context), f"context: {len(context)} of {modality.registers + math.prod(modality.grid)} tokens"))
        found.append((whole.enlarged().asked(targets), f"asked: {targets.shape[0]} blocks of {targets.shape[1]}"))
    return found


def shown_card(views: Sequence[tuple[Drawn, str]], name: str) -> str:
    """Beside each other; what is wide below each other; a film in motion above strips of its frames."""
    first = views[0][0]
    if not first.moves and not first.wide:
        return grid_of(f"repeat({len(views)},minmax(0,1fr))", [pictures.png(view, f"{what}, {name}") for view, what in views])
    lines = [pictures.png(view.strip(), f"{what}, {name}", largest=pictures.WIDE) for view, what in views]
    if first.moves:
        same = [view.enlarged() for view, _ in views]
        lines.insert(0, pictures.film(beside(same), f"{name} in motion: crop, context, asked"))
    return grid_of("minmax(0,1fr);gap:4px", [*lines, f"<span class=cell>{safe(name)}</span>"])


def feature_maps(looked: Looked) -> str:
    """Each token's features as a colour: the picture, untrained, trained, and what sets a patch apart within its picture."""
    shown, count, modality = looked.shown, len(looked.images), looked.run.run.modality
    order = [*shown, *[i for i in range(count) if i not in set(shown)]]
    valid = None if looked.trained.valid is None else looked.trained.valid[order]
    trained, untrained = looked.trained.tokens[order], looked.untrained.tokens[order]
    inside = trained - trained.mean(0) - trained.mean(1, keepdim=True)
    kinds = [("untrained", untrained), ("trained", trained), ("trained, less the mean of its place and of its picture", inside)]
    maps = [(name, pictures.colours(tokens, len(shown), valid)) for name, tokens in kinds]
    drawn = [modality.draw(looked.centred[i]) for i in shown]
    if drawn[0].wide:  # a line per sample and kind, at the width of the page
        lines = []
        for n, (i, picture) in enumerate(zip(shown, drawn, strict=True)):
            parts = [("picture", picture), *((name, picture.coloured(rgb[n])) for name, rgb in maps)]
            for name, part in parts:
                said = f"{name} features of {looked.name(i)} as colours" if name != "picture" else looked.name(i)
                lines += [f"<span class=head>{safe(name)}</span>", pictures.png(part.strip(FRAMES), said, largest=pictures.WIDE)]
        return grid_of("minmax(84px,.2fr) minmax(0,1fr)", lines)
    rows = [
        "<span class=head>picture</span>",
        *(pictures.png(picture.strip(FRAMES, down=True), looked.name(i)) for picture, i in zip(drawn, shown, strict=True)),
    ]
    for name, rgb in maps:
        rows.append(f"<span class=head>{safe(name)}</span>")
        rows += [
            pictures.png(picture.coloured(c).strip(FRAMES, down=True), f"{name} features of {looked.name(i)} as colours")
            for picture, c, i in zip(drawn, rgb, shown, strict=True)
        ]
    return grid_of(f"minmax(84px,.8fr) repeat({len(shown)},minmax(0,1fr))", rows)


def alike(looked: Looked) -> str:
    """Nearest neighbours by trained features above nearest neighbours by pixels."""
    shown = looked.shown
    spaces: Mapping[str, Tensor] = {"trained features": looked.trained.pooled, "pixels": looked.centred.flatten(1).float()}
    found = {name: pictures.neighbours(x, shown, ALIKE) for name, x in spaces.items()}
    hits = {
        name: [same(looked, q, int(i)) for q, near in zip(shown, near_all, strict=True) for i in near] for name, near_all in found.items()
    }
    width, gap = found["pixels"].shape[1], "<span></span>"
    cells = ["<span class=head>query</span>"]
    for name in found:
        cells += [gap, f'<span class=head style="grid-column:span {width}">nearest by {safe(name)}</span>']
    for n, query in enumerate(shown):
        cells.append(
            f"<div>{pictures.png(looked.picture(query), looked.name(query))}<span class=cell>{caption(looked, query)}</span></div>"
        )
        for near in found.values():
            cells += [gap, *(shown_neighbour(looked, query, int(i)) for i in near[n])]
    said = f"Among {len(looked.images)} {looked.run.run.modality.kind}, by cosine of centred features. "
    if looked.label(shown[0]) is not None:
        said += (
            "Framed: the same label as the query. "
            + "; ".join(f"{name}: {sum(hit)} of {len(hit)} neighbours" for name, hit in hits.items())
            + "."
        )
    columns = f"1.3fr 4px repeat({width},minmax(0,1fr)) 4px repeat({width},minmax(0,1fr))"
    return f"<p class=note>{safe(said)}</p>" + grid_of(columns, cells)


def shown_neighbour(looked: Looked, query: int, i: int) -> str:
    mark = "" if looked.label(query) is None else "same" if same(looked, query, i) else "other"
    return f"<div>{pictures.png(looked.picture(i), looked.name(i), mark)}<span class=cell>{caption(looked, i)}</span></div>"


def same(looked: Looked, a: int, b: int) -> bool:
    return looked.label(a) is not None and looked.label(a) == looked.label(b)


def caption(looked: Looked, i: int) -> str:
    label = looked.label(i)
    return "" if label is None else safe(label)
