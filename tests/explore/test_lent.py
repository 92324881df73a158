from pathlib import Path

import pytest
import torch

from openjepa.explore.explorer import Explorer
from openjepa.train import train
from tests import tiny


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run like those of `runs`, on other pictures."""
    root = tmp_path_factory.mktemp("elsewhere")
    train(tiny.run_on(tiny.photos(root / "photos", 5, ("green",))), root / "other")
    return root / "other"


def test_a_borrowed_input_is_the_lenders_picture(runs, elsewhere):
    """Two runs on other data: the same name means another picture in each, and the lender's is shown."""
    lender, here = Explorer(elsewhere), Explorer(runs / "pixels")
    name = here.inputs.borrow(elsewhere, "data:2")
    assert torch.equal(here.inputs.view(name), lender.inputs.view("data:2"))
    assert not torch.equal(here.inputs.view(name), here.inputs.view("data:2"))
    assert here.mae(name, hidden=[3, 4]).mse != here.mae("data:2", hidden=[3, 4]).mse


def test_runs_on_the_same_data_need_no_loan(runs):
    here = Explorer(runs / "pixels").inputs
    assert here.borrow(runs / "blocks", "data:2") == "data:2"
    assert not here.lenders


def test_a_dropped_file_belongs_to_all_runs(runs, elsewhere):
    assert Explorer(runs / "pixels").inputs.borrow(elsewhere, "upload:abc") == "upload:abc"


def test_the_page_asks_for_the_picture_it_shows(client, runs):
    """`of` names the run on screen; the answer's Python opens nothing else where both have the same data."""
    asked = {"run": "pixels", "input": "data:1", "targets": [{"at": [1, 1], "size": [2, 2]}]}
    plain, lent = (client.post("mae/predict", json={**asked, **more}) for more in ({}, {"of": "blocks"}))
    assert plain.status_code == lent.status_code == 200
    assert plain.content == lent.content
    gone = client.post("mae/predict", json={**asked, "of": "nobody"})
    assert gone.status_code == 404
