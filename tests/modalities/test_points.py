import io

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from openjepa.doctor.conformance import broken, check
from openjepa.modalities.modality import BadSample
from openjepa.modalities.points import Points, farthest, greedy, unit_sphere

SMALL = Points(size=(53,), groups=11, neighbours=5)


def clouds(b: int = 3, n: int = 53, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 0.4, (b, 3, n)).astype(np.float32))


def cloud(n: int = 97, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal((10, -3, 5), (1, 2, 3), (n, 3))


def rows(xyz: np.ndarray, mark: str = " ") -> str:
    return "\n".join(mark.join(f"{v:.17g}" for v in row) for row in xyz)


def ply(xyz: np.ndarray, form: str = "ascii") -> bytes:
    """With a property before, one between and one after the coordinates, and faces."""
    head = (
        f"ply\nformat {form} 1.0\ncomment made by a test\nelement vertex {len(xyz)}\nproperty uchar red\nproperty double x\nproperty double y\n"
        "property short between\nproperty double z\nproperty float confidence\nelement face 1\nproperty list uchar int vertex_indices\nend_header\n"
    )
    if form == "ascii":
        return (head + "\n".join(f"7 {x!r} {y!r} -3 {z!r} 0.5" for x, y, z in xyz.tolist()) + "\n3 0 1 2\n").encode()
    mark = "<" if "little" in form else ">"
    kind = [("red", "u1"), ("x", f"{mark}f8"), ("y", f"{mark}f8"), ("between", f"{mark}i2"), ("z", f"{mark}f8"), ("c", f"{mark}f4")]
    table = np.zeros(len(xyz), kind)
    for axis, name in enumerate("xyz"):
        table[name] = xyz[:, axis]
    return head.encode() + table.tobytes() + bytes([3, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0])


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


# -- groups


def slow_farthest(x: np.ndarray, groups: int) -> list[int]:
    chosen = [0]
    while len(chosen) < groups:
        gap = [min(float(((p - x[c]) ** 2).sum()) for c in chosen) for p in x]
        chosen.append(int(np.argmax(gap)))
    return chosen


def test_centres_are_those_of_a_slow_loop():
    x = clouds()
    index, distance = farthest(x, 11)
    for b in range(3):
        points = x[b].T.double().numpy()
        assert index[b].tolist() == slow_farthest(points, 11)
        want = ((points[index[b].numpy()][:, None] - points[None]) ** 2).sum(-1)
        assert np.allclose(distance[b].numpy(), want, atol=1e-6)


def test_greedy_order_is_that_of_a_slow_loop_and_a_permutation():
    centres = clouds(4, 29, 1).mT.contiguous()
    for points, line in zip(centres.double().numpy(), greedy(centres).tolist(), strict=True):
        left, want = set(range(29)), [int(points.sum(1).argmin())]
        left -= set(want)
        while left:
            want.append(min(left, key=lambda k: ((points[k] - points[want[-1]]) ** 2).sum()))
            left -= {want[-1]}
        assert line == want


def test_a_token_is_its_centre_and_the_nearest_points_of_a_kd_tree():
    x = clouds()
    tokens = SMALL.patchify(x)
    assert tokens.values.shape == (3, 11, SMALL.patch_dim) and tokens.valid is None
    for b in range(3):
        points = x[b].T.double().numpy()
        tree = cKDTree(points)
        centres = tokens.positions[b].double().numpy() * SMALL.unit
        assert tree.query(centres)[0].max() < 1e-6  # points of the cloud
        distance, index = tree.query(centres, k=5)
        groups = tokens.values[b].double().numpy().reshape(11, 5, 3) * SMALL.unit
        assert np.allclose(groups, points[index] - centres[:, None], atol=1e-6)
        assert np.allclose(np.linalg.norm(groups, axis=-1), distance, atol=1e-6) and (groups[:, 0] == 0).all()


def test_order_moves_tokens_and_changes_none():
    x = clouds()
    plain, ordered = (Points(size=(53,), groups=11, neighbours=5, order=order).patchify(x) for order in ("none", "greedy"))
    line = greedy(plain.positions)
    assert torch.equal(plain.take(line).positions, ordered.positions) and torch.allclose(plain.take(line).values, ordered.values)
    step = [(t.positions[:, 1:] - t.positions[:, :-1]).norm(dim=-1).mean() for t in (plain, ordered)]
    assert step[1] < 0.7 * step[0]


def test_tokens_do_not_depend_on_where_the_cloud_was_or_how_large():
    a = SMALL.decode(npy(cloud())).pixels
    b = SMALL.decode(npy(cloud() * 40 + 7)).pixels
    assert torch.allclose(a, b, atol=1e-6)


def test_duplicates_are_fine():
    x = clouds()[:, :, :4].repeat(1, 1, 20)[:, :, :53]  # 4 places, 11 groups
    tokens = SMALL.patchify(x)
    assert tokens.values.isfinite().all() and len(torch.unique(tokens.positions[0], dim=0)) == 4


@pytest.mark.parametrize("order", ["greedy", "none"])
def test_conformance(order):
    points = Points(size=(53,), groups=11, neighbours=5, order=order)
    files = [npy(cloud()), ply(cloud(), "binary_little_endian"), rows(cloud()).encode()]
    assert [str(fault) for fault in broken(check(points, files=files))] == []


# -- views


def test_views_are_subsets_pure_in_seed_step_and_row():
    samples = [torch.from_numpy(unit_sphere(cloud(n, n))[0]) for n in (53, 97, 211)]
    view = SMALL.augment(samples, 1, 2, [5, 6, 7])
    for k, sample in enumerate(samples):
        own = {tuple(p) for p in sample.T.tolist()}
        seen = [tuple(p) for p in view[k].T.tolist()]
        assert len(set(seen)) == 53 and set(seen) <= own
        assert torch.equal(SMALL.augment([sample], 1, 2, [5 + k])[0], view[k])
        assert torch.equal(SMALL.center([sample]), SMALL.center(samples)[k : k + 1])
    assert not torch.equal(SMALL.augment(samples, 1, 3, [5, 6, 7]), view)
    assert torch.equal(SMALL.augment(samples[::-1], 1, 2, [7, 6, 5]).flip(0), view)
    stacked = torch.stack([samples[1], samples[1].flip(1)])
    assert torch.equal(SMALL.augment(stacked, 1, 2, [6, 9])[0], view[1])


def test_every_point_is_drawn_alike():
    sample = torch.stack([torch.arange(80.0)] * 3)
    seen = SMALL.augment([sample] * 2000, 0, 0, range(2000))[:, 0].flatten().long().bincount()
    want = 2000 * 53 / 80
    assert abs(seen - want).max() < 6 * (want * (1 - 53 / 80)) ** 0.5


# -- files


FORMATS = {
    "npy": npy(cloud()),
    "npy [3 n]": npy(cloud().T),
    "npy with normals": npy(np.c_[cloud(), cloud()]),
    "ply ascii": ply(cloud()),
    "ply little": ply(cloud(), "binary_little_endian"),
    "ply big": ply(cloud(), "binary_big_endian"),
    "ply crlf": ply(cloud()).replace(b"\n", b"\r\n"),
    "xyz": rows(cloud()).encode(),
    "commas, header, colours": ("x,y,z,r,g,b\n" + rows(np.c_[cloud(), cloud()], ",")).encode(),
    "pts": f"97\n{rows(cloud())}\n".encode(),
    "off": f"OFF\n# made by a test\n97 1 0\n{rows(cloud())}\n3 0 1 2\n".encode(),
    "off of ModelNet": f"OFF97 1 0\n{rows(cloud())}\n3 0 1 2\n".encode(),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_cloud_in_the_unit_sphere(kind):
    got = SMALL.decode(FORMATS[kind]).pixels
    points = cloud() - cloud().mean(0)
    want = (points / np.linalg.norm(points, axis=1).max()).T
    assert got.dtype == torch.float32 and np.allclose(got.numpy(), want, atol=1e-7)


def test_where_a_cloud_was_and_how_large_is_told():
    xyz, centre, radius = unit_sphere(cloud())
    assert np.allclose(xyz.T * radius + centre, cloud(), atol=1e-5) and np.linalg.norm(xyz, axis=0).max() == pytest.approx(1)


def test_points_that_are_not_finite_are_left_out_and_said():
    holes = np.r_[cloud(60), [[np.nan, 0, 0], [0, np.inf, 0]]]
    decoded = SMALL.decode(npy(holes))
    assert decoded.note == "2 of 62 points are not finite and left out"
    assert torch.equal(decoded.pixels, SMALL.decode(npy(cloud(60))).pixels)


BAD = {
    "the file is empty": b"",
    "52 points, fewer than the 53 of a view": npy(cloud(52)),
    "all points are in one place": npy(np.full((60, 3), 0.1)),
    "too large": npy(cloud() * 1e200),
    "an array \\[60, 2\\]": npy(np.ones((60, 2))),
    "2 numbers in a line": b"1 2\n3 4\n",
    "line 2: 'oops' is not a number": b"1 2 3\n4 oops 6\n",
    "line 2 has 2 cells, the others 3": b"1 2 3\n4 5\n",
    "without end_header": ply(cloud())[:90],
    "truncated: 96 vertices": b"\n".join(ply(cloud()).splitlines()[:-2]),
    "bytes for 97 vertices of 31": ply(cloud(), "binary_little_endian")[:-50],
    "wanted x, y and z": ply(cloud()).replace(b"double z", b"double w"),
    "PLY format 'ascii2'": ply(cloud()).replace(b"ascii", b"ascii2"),
    "kind 'list' in or before": ply(cloud()).replace(b"property short between", b"property list uchar int between"),
    "without vertices": ply(cloud()).replace(b"element vertex", b"element corner"),
    "without the number": b"OFF\n",
    "98 vertices|97 vertices, the header says 99": f"OFF\n99 0 0\n{rows(cloud())}".encode(),
}


@pytest.mark.parametrize("reason", BAD)
def test_what_cannot_be_a_cloud_says_why(reason):
    with pytest.raises(BadSample, match=reason):
        SMALL.decode(BAD[reason])


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_files_are_clouds_or_say_why(kind):
    data, rng, modality = FORMATS[kind], np.random.default_rng(1), Points(size=(7,), groups=3, neighbours=2)
    for k in range(60):
        broken = bytearray(data[: rng.integers(len(data))] if k % 3 == 0 else data)
        for at in rng.integers(0, max(min(len(broken), 400 if k % 2 else len(broken)), 1), rng.integers(1, 8) * bool(broken) * (k % 3 > 0)):
            broken[at] = broken[at] ^ 1 << rng.integers(8) if k % 3 == 1 else rng.integers(256)
        try:
            pixels = modality.decode(bytes(broken)).pixels
        except BadSample:
            continue
        assert pixels.isfinite().all() and pixels.norm(dim=0).max() <= 1 + 1e-6
        assert modality.patchify(modality.center([pixels])).values.isfinite().all()


def test_settings_that_cannot_be():
    for wrong, said in [
        ({"size": (10,), "groups": 11}, "too small for 11 groups"),
        ({"groups": 0}, "1 or more"),
        ({"channels": 4}, "3 channels"),
        ({"unit": 0.0}, "above 0"),
    ]:
        with pytest.raises(ValueError, match=said):
            Points(**wrong)


def test_a_picture_shows_near_points_dark():
    x = torch.tensor([[0.0, 0], [0, 0], [-0.9, 0.9]])  # far, near, along the line of sight before it is turned
    picture = Points(size=(2,), groups=1, neighbours=1).draw(x).frames[0]
    assert picture.shape == (256, 256, 3) and picture.dtype == torch.uint8
    ink = picture[(picture != 255).any(-1)].float().mean(-1)
    assert len(ink) == 18 and ink.max() - ink.min() > 60
