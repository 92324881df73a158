"""The tabletop against slow loops, geometry and the pictures themselves."""

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from openjepa import draws
from openjepa.data.dataset import open_dataset
from openjepa.data.worlds import open_world
from openjepa.data.worlds.drawing import DISTANCES, render
from openjepa.data.worlds.scene import COLOURS, IVORY, SHAPES, Scene, Table
from openjepa.data.worlds.tabletop import MOST_OBJECTS, PLACES, VERSION, Tabletop, sample
from openjepa.modalities.image import Image

SIZE = (40, 56)  # no side of anything else here


def bare(scene: Scene) -> Scene:
    """The same scene on an even grey table without noise, in even light."""
    table, grey = scene.table, torch.full_like(scene.table.dark, 0.5)
    return replace(scene, table=replace(table, dark=grey, light=grey, lamp=table.lamp * 0, noise=table.noise * 0))


def only(scene: Scene, main: bool) -> Scene:
    """Without the pebbles, or without the main object."""
    present = scene.present.clone()
    present[:, 1:] &= not main
    present[:, 0] &= main
    return replace(scene, present=present)


def one(shape: str, centre: tuple[float, float] = (0.5, 0.5), radius: float = 0.2, angle: float = 0.0) -> Scene:
    """One red object on the bare table."""
    scene = bare(only(sample(0, [0]), main=True))
    position, shapes = scene.positions.clone(), scene.shapes.clone()
    position[0, 0], shapes[0, 0] = torch.tensor(centre), SHAPES.index(shape)
    radii, angles, colours = scene.radii.clone(), scene.angles.clone(), scene.colours.clone()
    radii[0, 0], angles[0, 0], colours[0, 0] = radius, angle, torch.tensor([1.0, 0.0, 0.0])
    return replace(scene, positions=position, shapes=shapes, radii=radii, angles=angles, colours=colours)


def cover(scene: Scene, size: tuple[int, int]) -> np.ndarray:
    """How far each picture differs from the bare grey table, [b h w]."""
    return (render(scene, size).double() - render(replace(scene, present=scene.present & False), size).double()).abs().sum(1).numpy()


# One pixel at a time, in float64, by geometry of its own -----------------------------------------


def corners(shape: str) -> np.ndarray:
    """The polygon of area pi, as (row, column), pointing up."""
    if shape == "square":
        points = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)])
    elif shape == "triangle":
        points = np.array([(-1, 0), (0.5, math.sqrt(3) / 2), (0.5, -math.sqrt(3) / 2)])
    else:
        a = 0.36
        points = np.array([(-1, -a), (-1, a), (-a, a), (-a, 1), (a, 1), (a, a), (1, a), (1, -a), (a, -a), (a, -1), (-a, -1), (-a, -a)])
    y, x = points.T
    area = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2  # shoelace
    return points * math.sqrt(math.pi / area)


def inside(shape: str, y: float, x: float) -> bool:
    if shape == "disc":
        return math.hypot(y, x) < 1
    if shape == "ring":
        outer = 1 / math.sqrt(1 - 0.52**2)
        return 0.52 * outer < math.hypot(y, x) < outer
    crossings, points = 0, corners(shape)
    for (y0, x0), (y1, x1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        crossings += (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0)
    return crossings % 2 == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_distance_is_negative_exactly_inside(shape):
    points = np.random.default_rng(0).uniform(-1.8, 1.8, (4000, 2))
    distance = DISTANCES[shape](*points.T.astype(np.float32)[:, None, None], np.float32([[[1.0]]])).ravel()
    clear = abs(distance) > 1e-5
    np.testing.assert_array_equal(distance[clear] < 0, [inside(shape, *point) for point in points[clear]])


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_covers_the_area_of_the_disc(shape):
    """Else the mean colour of a picture would tell the shape."""
    grey_less_red = render(one(shape, (0.48, 0.53), 0.2, 0.7), (300, 300))[0, 1].double()
    # the green channel is 0 wherever the object is, whatever its rim, and between at the edge
    assert (1 - grey_less_red / grey_less_red.max()).mean().item() == pytest.approx(math.pi * 0.2**2, rel=2e-3)


def slow_picture(scene: Scene, i: int, size: tuple[int, int]) -> np.ndarray:
    """Picture i of the scene, one pixel at a time, in Python's floats. float [3 h w] in 0..255, before rounding."""
    table, picture = scene.table, np.zeros((3, *size))
    hashed = draws.uniform(0, 0, [int(table.grain[i])], 32 * math.ceil(32 * size[1] / size[0]), "tabletop.noise")[0]

    def wave(u: float) -> float:
        u = abs(2 * (u % 1) - 1)
        return 3 * u**2 - 2 * u**3

    def turned(angle: float, y: float, x: float) -> tuple[float, float]:
        return y * math.cos(angle) - x * math.sin(angle), x * math.cos(angle) + y * math.sin(angle)

    for row in range(size[0]):
        for column in range(size[1]):
            y, x = (row + 0.5) / size[0], (column + 0.5) / size[0]
            along, across = turned(float(table.angle[i]), y, x)
            phase = float(table.phase[i])
            stripe = across * float(table.frequency[i]) + phase + float(table.bend[i]) * wave(1.3 * along + phase)
            grain = min(1, max(0, (wave(stripe) - 0.5) * float(table.sharpness[i]) + 0.5))
            colour = (table.dark[i] * (1 - grain) + table.light[i] * grain).double().numpy()
            for j in sorted(range(scene.order.shape[1]), key=lambda j: int(scene.order[i, j])):
                if scene.present[i, j]:
                    centre = scene.positions[i, j].tolist()
                    here = np.float32(turned(float(scene.angles[i, j]), y - centre[0], x - centre[1]))
                    shape = DISTANCES[SHAPES[int(scene.shapes[i, j])]]
                    distance = float(shape(here[:1], here[1:], scene.radii[i, j : j + 1].numpy())[0])
                    share = min(1, max(0, 0.5 - distance * size[0]))
                    shade = 1 - 0.35 * min(1, max(0, 1 + distance / 0.035))
                    colour = (1 - share) * colour + share * shade * scene.colours[i, j].double().numpy()
            lamp = table.lamp[i].tolist()
            colour = colour * (1 + lamp[0] * (y - 0.5) + lamp[1] * (x - scene.width / 2))
            cell = row * 32 // size[0] * math.ceil(32 * size[1] / size[0]) + column * 32 // size[0]
            bits = int(hashed[cell] * 2**48)
            noise = np.array([bits & 0xFFFF, bits >> 16 & 0xFFFF, bits >> 32]) / 0xFFFF - 0.5
            picture[:, row, column] = np.clip(colour + 0.6 * float(table.noise[i]) * noise, 0, 1) * 255
    return picture


def test_pictures_equal_a_slow_loop():
    scene = sample(7, range(5), noise=0.6, objects=5, width=SIZE[1] / SIZE[0])
    fast = render(scene, SIZE).double().numpy()
    for i in range(5):
        assert abs(fast[i] - slow_picture(scene, i, SIZE)).max() < 0.51  # half a level of rounding


# What a picture says is what its labels say ------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("angle", [0.0, 0.61, -2.0])
def test_position_is_the_centroid(shape, angle):
    scene = one(shape, (0.43, 0.56), 0.17, angle)
    centre = ndimage.center_of_mass(cover(scene, (96, 96))[0])
    np.testing.assert_allclose((np.array(centre) + 0.5) / 96, (0.43, 0.56), atol=0.1 / 96)


def test_a_positive_angle_turns_clockwise():
    """The triangle's tip, straight up at first, moves to the right."""
    seen = cover(one("triangle", (0.5, 0.5), 0.2, math.pi / 2), (64, 64))[0] > 0
    rows, columns = np.nonzero(seen)
    assert rows[columns == columns.max()].mean() == pytest.approx(31.5, abs=1)
    assert columns.max() > 50


@pytest.mark.parametrize("size", [(32, 32), (36, 52), (52, 36)])
def test_labels_are_what_a_ruler_finds(size):
    world = Tabletop(count=240, seed=3, size=size, objects=MOST_OBJECTS)
    labels, scene = world.labels, bare(world.sample(range(240)))
    alone, pebbles = cover(only(scene, main=True), size), cover(only(scene, main=False), (4 * size[0], 4 * size[1]))
    pictures = render(only(scene, main=True), size)
    palette = np.array([np.mean(scene.colours[:, 0][labels["colour"].values == c].numpy(), 0) for c in range(IVORY)])
    for row in range(240):
        y, x = ndimage.center_of_mass(alone[row])
        place = PLACES[int((y + 0.5) * 3 / size[0]) * 3 + int((x + 0.5) * 3 / size[1])]
        assert place == labels["place"].names[int(labels["place"].values[row])]
        assert 1 + ndimage.label(pebbles[row] > 0.4 * pebbles[row].max())[1] == int(labels["count"].names[int(labels["count"].values[row])])
        at = np.unravel_index(alone[row].argmax(), size)
        nearest = abs(palette - pictures[row, :, at[0], at[1]].numpy() / 255).sum(1).argmin()
        assert COLOURS[nearest] == labels["colour"].names[int(labels["colour"].values[row])]


def test_main_objects_lie_wholly_on_the_table_and_pebbles_are_seen():
    scene = bare(sample(5, range(400), objects=MOST_OBJECTS))
    farthest = torch.ones(400, MOST_OBJECTS)  # discs, but for the main object, which may become a triangle
    farthest[:, 0] = float(np.linalg.norm(corners("triangle"), axis=1).max())
    reach = (scene.radii * farthest)[..., None]
    assert (scene.positions - reach).min() > -1e-6
    assert (scene.positions + reach).max() < 1 + 1e-6
    main = cover(only(scene, main=True), (32, 32)) > 0
    pebbles = cover(only(scene, main=False), (32, 32)) > 0
    assert (main & pebbles).sum() < 0.03 * pebbles.sum()


def test_answers_are_even_and_independent():
    """Each answer as often as the next, and none helps with another question: chi-squared, 20,000 rows."""
    labels = Tabletop(count=20_000).labels
    assert {name: len(answers.names) for name, answers in labels.items()} == {"shape": 5, "colour": 8, "place": 9, "count": 4}
    for a, first in labels.items():
        for b, second in labels.items():
            table = np.zeros((len(first.names), len(second.names)))
            np.add.at(table, (first.values.numpy(), second.values.numpy()), 1)
            if a == b:
                expected, freedom, table = 20_000 / len(table), len(table) - 1, np.diag(table)
            else:
                expected, freedom = table.sum(1, keepdims=True) * table.sum(0) / 20_000, (table.shape[0] - 1) * (table.shape[1] - 1)
            assert ((table - expected) ** 2 / expected).sum() < freedom + 4 * math.sqrt(2 * freedom), (a, b)


def test_nearest_pixels_do_not_know_the_shape():
    """A classifier that compares pixels stays near chance (.2), or the world would not ask for understanding."""
    train, test = Tabletop(count=5000), Tabletop(count=1000, seed=1)
    x, y = (world.read(range(len(world))).flatten(1).float() for world in (train, test))
    x, y = (z - z.mean(1, keepdim=True) for z in (x - x.mean(0), y - x.mean(0)))
    near = (y @ torch.nn.functional.normalize(x).T).topk(20, 1).indices
    guess = torch.nn.functional.one_hot(train.labels["shape"].values[near], 5).sum(1).argmax(1)
    assert (guess == test.labels["shape"].values).double().mean() < 0.3


# Order of painting, noise, size ------------------------------------------------------------------


def test_the_higher_object_hides_the_lower():
    scene = bare(sample(0, [0], objects=3))
    middle = torch.tensor([[[0.5, 0.5], [0.5, 0.6], [0.5, 0.4]]])
    scene = replace(scene, positions=middle, radii=torch.full((1, 3), 0.2), shapes=torch.zeros(1, 3, dtype=torch.int64))
    scene = replace(scene, colours=torch.eye(3)[None], present=torch.ones(1, 3, dtype=torch.bool))
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        picture = render(replace(scene, order=torch.tensor([order])), (100, 100))[0]
        assert int(picture[:, 50, 50].argmax()) == int(np.argmax(order))  # all three lie here
        assert int(picture[:, 50, 72].argmax()) == 1
        assert int(picture[:, 50, 27].argmax()) == 2
    for absent in range(3):
        present = torch.arange(3)[None] != absent
        picture = render(replace(scene, order=torch.tensor([[0, 1, 2]]), present=present), (100, 100))[0]
        assert int(picture[:, 50, 50].argmax()) == (2 if absent < 2 else 1)


def flat(noise: float, rows: int) -> Scene:
    scene = bare(sample(2, range(rows), noise=noise))
    return replace(scene, present=scene.present & False, table=replace(scene.table, noise=torch.full((rows,), noise)))


@pytest.mark.parametrize("noise", [0.0, 0.25, 1.0])
def test_noise_has_the_strength_it_is_told(noise):
    values = render(flat(noise, 50), (32, 32)).double()
    assert values.std().item() == pytest.approx(255 * 0.6 * noise / math.sqrt(12), rel=0.01, abs=0.01)
    assert values.mean().item() == pytest.approx(127.5, abs=0.5)


def test_noise_cannot_be_predicted():
    """Nothing about a cell follows from its neighbours, its other channels, the same cell of another row."""
    values = render(flat(1.0, 100), (32, 32)).double() - 127.5
    pairs = {
        "row": (values[:, :, 1:], values[:, :, :-1]),
        "column": (values[..., 1:], values[..., :-1]),
        "channel": (values[:, 1:], values[:, :-1]),
        "sample": (values[1:], values[:-1]),
    }
    for name, (a, b) in pairs.items():
        assert abs((a * b).mean() / values.var()).item() < 0.01, name


def test_noise_changes_nothing_else():
    calm, wild = Tabletop(count=50, noise=0.0), Tabletop(count=50, noise=1.0)
    scenes = calm.sample(range(50)), wild.sample(range(50))
    assert all(torch.equal(getattr(scenes[0], name), getattr(scenes[1], name)) for name in ("positions", "shapes", "colours", "order"))
    assert all(torch.equal(calm.labels[name].values, wild.labels[name].values) for name in calm.labels)
    assert not torch.equal(calm.read([0]), wild.read([0]))
    assert calm.fingerprint != wild.fingerprint


def test_fewer_objects_leave_the_main_one_alone():
    many, few = sample(4, range(30), objects=6), sample(4, range(30), objects=1)
    for name in ("positions", "radii", "angles", "shapes", "hues", "colours"):
        assert torch.equal(getattr(many, name)[:, :1], getattr(few, name)), name


def test_a_finer_picture_shows_the_same_scene():
    """Averaging 4 x 4 pixels of the large picture gives the small one, noise included, but for edges."""
    scene = sample(9, range(20), noise=0.3)
    large, small = render(scene, (128, 128)).double(), render(scene, (32, 32)).double()
    error = (torch.nn.functional.avg_pool2d(large, 4) - small).abs()
    assert error.mean() < 2
    assert error.quantile(0.99) < 16


def test_wide_pictures_are_not_stretched():
    for size in ((40, 68), (68, 40)):
        world = Tabletop(count=30, size=size, objects=1)
        scene = bare(world.sample(range(30)))
        seen = cover(replace(scene, shapes=scene.shapes * 0, colours=scene.colours * 0), size)  # black discs
        for picture in seen > seen.max() / 2:
            rows, columns = np.nonzero(picture)
            assert abs(np.ptp(rows) - np.ptp(columns)) <= 1


# Rows, batches, seeds ----------------------------------------------------------------------------


def test_a_row_has_the_same_bits_in_any_batch():
    world = Tabletop(count=600, seed=11)
    everything = world.read(range(600))
    order = np.random.default_rng(0).permutation(600)
    assert torch.equal(world.read(order), everything[order])
    assert torch.equal(world.read(order.tolist()[:97]), everything[order[:97]])
    for row in (0, 1, 64, 599):
        assert torch.equal(world.read([row])[0], everything[row])
    assert world.read([]).shape == (0, 3, 32, 32)


def test_another_seed_gives_other_pictures():
    train, test = (Tabletop(count=2000, seed=seed) for seed in (0, 1))
    seen = {picture.numpy().tobytes() for picture in train.read(range(2000))}
    assert len(seen) == 2000
    assert not seen & {picture.numpy().tobytes() for picture in test.read(range(2000))}
    assert train.fingerprint != test.fingerprint
    assert train.fingerprint == Tabletop(count=2000).fingerprint


def test_pictures_of_this_version():
    """When this fails on purpose, raise VERSION: caches and reports know pictures by it."""
    digest = hashlib.sha256(Tabletop(count=40, seed=1, size=(24, 32)).read(range(40)).numpy().tobytes()).hexdigest()
    assert (VERSION, digest[:16]) == (1, "445fa099a329f269")


def test_scenes_can_be_moved_and_picked():
    scene = sample(0, range(6))
    moved = replace(scene, positions=scene.positions + torch.tensor([2 / 32, -3 / 32]))
    before, after = cover(bare(scene), (32, 32)), cover(bare(moved), (32, 32))
    np.testing.assert_allclose(after[:, 4:, :-4], before[:, 2:-2, 3:-1], atol=3)
    assert torch.equal(render(scene.take(torch.tensor([4, 1])), SIZE[:1] * 2), render(scene, SIZE[:1] * 2)[[4, 1]])
    assert isinstance(scene.take(slice(2)).table, Table)
    assert len(scene.take(slice(2))) == 2


# What a user may write ---------------------------------------------------------------------------


def test_open_world_reads_every_setting():
    wanted = Tabletop(count=7, seed=5, size=(32, 48), noise=0.25, objects=2)
    assert open_world("tabletop?noise=.25&count=7&seed=5&size=32x48&objects=2") == wanted
    assert open_world("world:tabletop") == Tabletop()
    assert open_world("tabletop?size=64").size == (64, 64)
    dataset, entries = open_dataset("world:tabletop?count=7&seed=5", Image())
    assert (dataset, entries) == (Tabletop(count=7, seed=5), [])
    assert len(dataset) == 7
    assert "row 3" in dataset.name(3)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("tabeltop", "no world 'tabeltop'; did you mean 'tabletop'"),
        ("tabletop?nois=.5", "no setting 'nois'.*did you mean 'noise'"),
        ("tabletop?zzz=1", "no setting 'zzz' of world 'tabletop'; there are: count, seed"),
        ("tabletop?noise=loud", "noise='loud' is not a number.*noise=0.5"),
        ("tabletop?count=1e4", "count='1e4' is not a whole number"),
        ("tabletop?size=3x4x5", "size='3x4x5' is not a size"),
        ("tabletop?count", "'count'.*no value; write count="),
        ("tabletop?seed=1&seed=2", "'seed' is given twice"),
        ("tabletop?noise=1.5", "noise=1.5; a number from 0"),
        ("tabletop?noise=nan", "noise=nan; a number from 0"),
        ("tabletop?count=0", "count=0 pictures"),
        ("tabletop?objects=7", "objects=7; from 1 to 6"),
        ("tabletop?size=4", "size=4x4; sides of at least 8"),
        ("tabletop?size=16x65", "none over 4 times"),
    ],
)
def test_errors_name_the_wrong_part(spec, message):
    with pytest.raises(ValueError, match=message):
        open_world(spec)


def test_rows_and_sizes_that_do_not_exist_are_refused():
    for rows in ([10], [-1], [0, 99]):
        with pytest.raises(ValueError, match=r"rows 0\.\.9"):
            Tabletop(count=10).read(rows)
    with pytest.raises(ValueError, match="ask for 32x64"):
        render(sample(0, [0], width=2.0), (32, 32))
