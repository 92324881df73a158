"""Small trained runs, and a server's client over them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from openjepa.explore.door import Door
from openjepa.explore.server import build
from openjepa.explore.shelf import Shelf
from openjepa.masks.random import Random
from openjepa.train import train
from tests import tiny


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs on one folder of pictures: blocks, a union, and pixels; 4 x 6 places."""
    root = tmp_path_factory.mktemp("explored")
    photos = tiny.photos(root / "photos", 12, ("red", "blue"))
    folder = root / "runs"
    train(tiny.run_on(photos), folder / "blocks")
    union = replace(tiny.RUN.objective, masks=Random(ratio=0.5), union=True, instance_norm=True, target_layers=2, loss="l2")
    train(tiny.run_on(photos, objective=union), folder / "deep" / "union")
    train(tiny.run_on(photos, replace(tiny.MAE, objective=replace(tiny.MAE.objective, norm_pix=True))), folder / "pixels")
    return folder


@pytest.fixture(scope="session")
def client(runs: Path) -> Iterator[TestClient]:
    with TestClient(build(Shelf([runs], bundled=False), Door()), base_url="http://127.0.0.1/api/v1/") as found:
        yield found
