"""The page as plain files: whole, the server's own answers, nothing of the exporter's machine in them."""

import gzip
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from openjepa.explore import jepa_api, mae_api
from openjepa.explore.export import HIDDEN, holes, placements, write
from openjepa.explore.jepa_api import JepaAsked
from openjepa.explore.mae_api import MaeAsked
from openjepa.explore.question import Box
from openjepa.explore.runs_api import Screen
from openjepa.explore.shelf import Shelf
from openjepa.train import train
from tests import tiny

GRID = (4, 6)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The folder of two runs, and their site with two inputs each."""
    root = tmp_path_factory.mktemp("exported")
    photos = tiny.photos(root / "photos")
    for name, run in (("a", tiny.RUN), ("b", tiny.MAE)):
        train(tiny.run_on(photos, run, steps=2, save_every=2), root / "runs" / name, recipe="tiny")
    static = root / "static"
    (static / "assets").mkdir(parents=True)
    (static / "index.html").write_text('<!doctype html>\n<html lang="en"><script src="./assets/a.js"></script></html>')
    (static / "assets/a.js").write_text("1")
    said: list[str] = []
    found = write([root / "runs"], root / "site", threads=1, inputs=2, static=static, say=said.append)
    return root, found, said


def read_pack(path: Path) -> list[tuple[dict, dict[str, torch.Tensor]]]:
    """Every message: what it says, and its arrays."""
    data, found = gzip.decompress(path.read_bytes()), []
    while data:
        length = int.from_bytes(data[:4], "little")
        message, data = data[4 : 4 + length], data[4 + length :]
        header = json.loads(message[8 : 8 + int.from_bytes(message[:8], "little")])
        found.append((json.loads(header["__metadata__"]["json"]), load(message)))
    return found


def test_the_page_is_copied_and_told_what_it_is(exported):
    root, found, said = exported
    site = root / "site"
    assert '<html data-mode="static" lang="en">' in (site / "index.html").read_text() and (site / "assets/a.js").is_file()
    config = json.loads((site / "config.json").read_text())
    assert config["mode"] == "static" and set(config["views"]) == {"a", "b"} and config["views"]["a"] == config["views"]["b"]
    files = [path for path in site.rglob("*") if path.is_file()]
    assert found == {"files": len(files), "bytes": sum(path.stat().st_size for path in files)}
    assert not any(":" in path.name for path in files)  # not a name everywhere
    assert [line.split(":")[0] for line in said[:2]] == ["a", "b"]
    assert not list(root.glob(".site*"))


def test_every_placement_says_what_the_server_says(exported):
    root, _, _ = exported
    shelf = Shelf([root / "runs"], bundled=False)
    shelf.explorer("a").bank.grow()
    packs = json.loads((root / "site/config.json").read_text())["packs"]["jepa/a/data:1"]
    assert packs == ["1x2", "2x2", "2x3"]
    for pack in packs:
        size = tuple(map(int, pack.split("x")))
        parts = read_pack(root / f"site/data/jepa/a/data-1/{pack}.pack")
        everywhere = {(y, x) for y in range(GRID[0] - size[0] + 1) for x in range(GRID[1] - size[1] + 1)}
        assert {tuple(meta["at"]) for meta, _ in parts} == everywhere and len(parts) == len(everywhere)
        for meta, tensors in parts[::3]:
            asked = JepaAsked(run="a", input="data:1", targets=(Box(tuple(meta["at"]), size),))
            live = jepa_api.predict(shelf, asked)
            assert meta["total"]["energy"] == pytest.approx(live.meta.total.energy, rel=1e-6)
            assert meta["total"]["copy"] == pytest.approx(live.meta.total.copy, rel=1e-5)
            assert all(torch.allclose(tensors[name], value, equal_nan=True, atol=1e-6) for name, value in live.tensors.items())


def test_shares_and_holes_of_the_other_objective_are_there(exported):
    root, _, _ = exported
    shelf = Shelf([root / "runs"], bundled=False)
    shares = read_pack(root / "site/data/mae/b/data-0/shares.pack")
    assert [meta["share"] for meta, _ in shares] == list(HIDDEN)
    meta, tensors = shares[9]
    live = mae_api.predict(shelf, MaeAsked(run="b", input="data:0", ratio=HIDDEN[9]))
    assert meta["mse"] == pytest.approx(live.meta.mse, rel=1e-6) and torch.equal(tensors["composite"], live.tensors["composite"])
    (meta, tensors), *_ = read_pack(root / "site/data/mae/b/data-0/2x2.pack")
    live = mae_api.predict(shelf, MaeAsked(run="b", input="data:0", targets=(Box(tuple(meta["at"]), (2, 2)),)))
    assert torch.equal(tensors["composite"], live.tensors["composite"])


def test_panels_that_need_a_server_say_so(exported):
    root, _, _ = exported
    told = json.loads((root / "site/data/runs.json").read_text())
    can = {can["panel"]: can for can in told["runs"][0]["capabilities"]}
    assert can["jepa"]["ok"] and can["run"]["ok"] and not can["masks"]["ok"] and can["masks"]["fix"] == "openjepa explore"
    assert json.loads((root / "site/data/meta.json").read_text())["live"] is False
    inputs = json.loads((root / "site/data/runs/a/inputs.json").read_text())
    assert inputs["total"] == 2 == len(inputs["items"])
    assert all((root / f"site/data/runs/a/inputs/data-{i}/{name}").is_file() for i in range(2) for name in ("thumb.png", "view.bin"))


def test_answers_do_not_tell_where_the_runs_lay(exported):
    root, _, _ = exported
    for path in (root / "site").rglob("*.pack"):
        assert str(root).encode() not in gzip.decompress(path.read_bytes()), path


def test_holes_begin_with_the_page_s_own_and_cover_the_time_of_a_video():
    image, video = Screen(x=1, y=0, t=None, up=False), Screen(x=2, y=1, t=0, up=False)
    assert holes((8, 8), image) == [(2, 2), (3, 3), (4, 4)]
    assert holes((14, 14), image)[0] == (4, 4)
    assert holes((4, 6, 6), video) == [(4, 2, 2), (4, 3, 3)]
    assert holes((16, 8), Screen(x=0, y=1, t=None, up=True))[0] == (5, 2)
    first, *_ = places = placements((8, 8), (2, 2))
    assert first.at == (3, 3) and len(places) == 49


def test_what_cannot_be_exported_is_told_before_anything_is_written(exported, tmp_path):
    root, _, _ = exported
    with pytest.raises(ValueError, match="not compiled; run: npm"):
        write([root / "runs"], tmp_path / "site", static=tmp_path)
    with pytest.raises(ValueError, match="no run in"):
        write([root / "photos"], tmp_path / "site", static=root / "static")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("")
    with pytest.raises(OSError):
        write([root / "runs"], tmp_path / "full", inputs=1, static=root / "static")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [] and (tmp_path / "full/mine.txt").exists()
