"""A run is one value: it becomes JSON and comes back equal, and says where it does not fit."""

import json
from dataclasses import replace

import pytest

from openjepa.objectives.jepa import JEPAConfig
from openjepa.recipes import load, names
from openjepa.run import differences, from_dict, to_dict


@pytest.mark.parametrize("name", names())
def test_every_recipe_survives_json(name):
    run = load(name)
    assert from_dict(json.loads(json.dumps(to_dict(run)))) == run


def test_an_unknown_or_wrong_field_is_named_by_its_path():
    saved = to_dict(load("image.ijepa"))
    saved["objective"]["encoder"]["width"] = 7
    with pytest.raises(ValueError, match=r"width.*run\.objective\.encoder"):
        from_dict(saved)
    saved = to_dict(load("image.ijepa"))
    saved["optimizer"]["betas"] = "fast"
    with pytest.raises(ValueError, match=r"run\.optimizer\.betas"):
        from_dict(saved)


def test_differences_name_setting_and_both_values():
    run = load("image.ijepa")
    assert differences(run, run) == []
    other = replace(run, seed=3, objective=replace(run.objective, union=True))
    assert differences(run, other) == ["objective.union: False -> True", "seed: 0 -> 3"]
    assert differences(run, load("image.mae")) == ["objective: JEPAConfig -> MAEConfig"]


def test_impossible_numbers_are_refused():
    with pytest.raises(ValueError, match="steps is 0; it must be at least 1"):
        replace(load("image.ijepa"), steps=0)


def test_recipes_have_descriptions_and_suggest():
    assert isinstance(load("image.ijepa").objective, JEPAConfig)
    assert all(text for text in names().values())
    with pytest.raises(ValueError, match=r"no recipe 'image.ijep'; did you mean 'image.ijepa'\?"):
        load("image.ijep")
