"""A run prints as a command and the command reads back equal."""

from dataclasses import fields, is_dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openjepa import recipes
from openjepa.cli.options import TrainOptions
from openjepa.cli.parse import Usage, parse, split
from openjepa.cli.settings import apply, at, changes, choices, command, exchange, listing
from openjepa.cli.train import OWN, choose
from openjepa.masks.blocks import Blocks
from openjepa.masks.random import Random
from openjepa.objectives.mae import MAEConfig
from openjepa.run import Run, leaves


def read_back(words: list[str]) -> Run:
    """What `openjepa train` makes of these words."""
    assert words[:2] == ["openjepa", "train"]
    own, by_path = split(words[2:])
    options, unknown = parse(TrainOptions, own, prog="openjepa train")
    return choose(options, own, by_path, unknown, "openjepa train").run


@pytest.mark.parametrize("name", list(recipes.names()))
def test_a_recipe_is_its_own_command(name):
    run = recipes.load(name)
    assert command(name, run, run) == ["openjepa", "train", name]
    assert read_back(["openjepa", "train", name]) == run


def changed(run: Run, draw) -> Run:
    """`run` with some settings of every type changed."""
    values = {
        "steps": st.integers(1, 10**6),
        "seed": st.integers(-5, 2**40),
        "workers": st.integers(-1, 8),
        "device": st.sampled_from(["cpu", "cuda:1"]),
        "precision": st.sampled_from(["float32", "bfloat16"]),
        "data.path": st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=9).filter(lambda t: not t.startswith("--")),
        "data.cache": st.sampled_from(["on", "off"]),
        "optimizer.clip": st.one_of(st.none(), st.floats(0.1, 9)),
        "optimizer.lr.peak": st.floats(1e-9, 1),
        "optimizer.betas": st.tuples(st.floats(0, 0.99), st.floats(0, 0.999)),
        "modality.flip": st.booleans(),
        "modality.size": st.sampled_from([(448, 112), (112, 224)]),
        "objective.masks": st.sampled_from([Random(ratio=0.5), Random(), Blocks(count=2), Blocks(scale=(0.1, 0.3))]),
    }
    for path in draw(st.sets(st.sampled_from(list(values)))):
        run = exchange(run, path.split("."), draw(values[path]))
    return run


@settings(max_examples=25, deadline=None)
@given(st.data(), st.sampled_from(["image.ijepa", "image.mae"]))
def test_any_run_reads_back_equal(data, name):
    base = recipes.load(name)
    run = changed(base, data.draw)
    words = command(name, base, run)
    assert read_back(words) == run
    # only what differs: every flag names a setting whose value is not the recipe's
    flags = [word.partition("=")[0] for word in words if word.startswith("--") and not word.endswith(".kind")]
    old, new = leaves(base), leaves(run)
    assert len(flags) <= sum(old.get(path) != value for path, value in new.items())


def test_another_objective_reads_back_equal():
    base = recipes.load("image.ijepa")
    run = replace(base, objective=MAEConfig(masks=Blocks(count=3)))
    words = changes(base, run)
    assert words[:4] == ["--objective.kind", "MAEConfig", "--objective.masks.kind", "Blocks"]
    assert apply(base, words, "test") == run


def test_switches_take_words_and_both_spellings():
    base = recipes.load("image.ijepa")
    for words in (["--objective.stop-gradient", "off"], ["--objective.no-stop-gradient"], ["--objective.stop_gradient=False"]):
        assert not apply(base, words, "test").objective.stop_gradient, words
    assert apply(base, ["--objective.union", "on", "--modality.flip"], "test").objective.union
    with pytest.raises(Usage, match="no option --objective.masks.ratio"):
        apply(base, ["--objective.masks.ratio", "0.5"], "test")
    assert apply(base, ["--objective.masks.ratio", "0.5", "--objective.masks.kind", "Random"], "test").objective.masks == Random(ratio=0.5)


def test_an_error_in_a_union_of_classes_names_the_path():
    base = recipes.load("image.ijepa")
    with pytest.raises(Usage, match=r"no option --objective.mask.kind") as error:
        apply(base, ["--objective.mask.kind", "Random"], "test")
    assert error.value.hint == "did you mean --objective.masks.kind?"
    assert set(choices(base)) == {"objective", "objective.masks", "objective.encoder"}


def test_the_short_flags_are_exactly_the_plain_settings_of_a_run():
    """A setting added to Run must become a flag, or train would silently not know it."""
    run = recipes.load("image.ijepa")
    plain = {f.name for f in fields(Run) if not is_dataclass(getattr(run, f.name))}
    assert {*OWN, "init"} == plain  # init brings an architecture with it, and comes before the others
    assert plain <= {f.name for f in fields(TrainOptions)}


def test_words_are_split_between_the_command_and_the_run():
    own, by_path = split(["image.ijepa", "--a.b", "1", "-2", "--steps", "-1", "--c.d=x", "--data", "a.b", "-q"])
    assert own == ["image.ijepa", "--steps", "-1", "--data", "a.b", "-q"]
    assert by_path == ["--a.b", "1", "-2", "--c.d=x"]


def test_the_listing_has_every_setting_once_with_its_comment():
    base = recipes.load("image.ijepa")
    run = replace(base, steps=3, objective=replace(base.objective, masks=Random()))
    found = {setting.path: setting for setting in listing(run, base)}
    assert set(leaves(run)) | {"objective.kind", "objective.masks.kind", "objective.encoder.kind"} == set(found)
    assert {path for path, setting in found.items() if setting.changed} == {"steps", "objective.masks.kind", "objective.masks.ratio"}
    assert found["batch_size"].about == "samples per optimizer step, over all devices"
    assert found["modality.size"].value == at(run, "modality.size")


def test_settings_of_several_masks_are_named_by_number():
    base = recipes.load("video.vjepa")
    run = apply(base, ["--objective.masks.1.count", "3"], "openjepa train")
    assert run.objective.masks[1].count == 3 and run.objective.masks[0] == base.objective.masks[0]
    assert changes(base, run) == ["--objective.masks.1.count", "3"]
    assert apply(base, changes(base, run), "openjepa train") == run
