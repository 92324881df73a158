"""Heads are kept, say again what the probe said, and are refused where they would mislead."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

import openjepa
from openjepa.checkpoint import Damaged
from openjepa.frozen import Encoded, weights_sha256
from openjepa.probes import attentive, attentive_heads, head_kinds, keep, knn, linear
from openjepa.probes.answers import Answer, Classes
from openjepa.probes.attentive import Attentive
from openjepa.probes.heads import KINDS, Head, HeadInfo, Of, heads_in, load_head
from openjepa.probes.judge import Judge, Outcome, compare
from openjepa.probes.questions import Question
from openjepa.probes.score import score
from openjepa.probes.sides import Settings
from openjepa.probes.token_file import TokenFeatures
from tests.probes.made import bright, vit
from tests.probes.test_score import labelled

WORKING = Attentive(rates=(3e-2,), decays=(0.01,), epochs=40)
SMALL = Attentive(rates=(3e-3,), decays=(0.01,), epochs=2)
INFO = HeadInfo(
    "linear", "class", ("dark", "light", "white"), {"pooling": "mean", "layer": -1, "clips": 1, "views": 1}, Of("0" * 64, 10, 7), 0
)


def kept(settings, test=None):
    """(bundle, data, test data, heads by kind)"""
    bundle, data = vit(), bright(90)
    scored = score({"encoder": bundle, "untrained": vit(1)}, labelled(data), test, settings, keep_of=keep.encoder_of(bundle))
    return bundle, data, scored, {head.kind: head for head in scored.heads}


def every(head, bundle, data, rows):
    """The best class of each of some samples, asked one by one."""
    said = [head.answer(head.encode(bundle, data.images[row][None])) for row in rows]
    return [answer.part("classes").best for answer in said]


@pytest.mark.parametrize(
    "settings",
    [
        Settings(("knn", "linear")),
        Settings(("knn", "linear"), pooling="last4"),
        Settings(("knn", "linear"), pooling="places"),
        Settings(("linear",), layer=-2),
        Settings(("attentive",), layer=-2, attentive=WORKING),
        Settings(("attentive",), pooling="last4", attentive=WORKING),
    ],
)
def test_a_kept_head_answers_what_the_probe_scored(tmp_path, settings):
    """Written, read and asked sample by sample: exactly as many right as the report says, and the wrong ones by name."""
    test = bright(45, seed=1, fingerprint="test")
    test.labels["class"].values[::4] += 1  # nobody knows these
    test.labels["class"].values.remainder_(3)
    bundle, _, scored, heads = kept(settings, labelled(test, "test"))
    assert set(heads) == set(settings.probes)
    for kind, head in heads.items():
        again = load_head(head.save(tmp_path))
        names = test.labels["class"].names
        truth = [names[i] for i in test.labels["class"].values.tolist()]
        guess = every(again, bundle, test, range(45))
        row = next(row for row in scored.rows if row.method == "encoder" and row.probe == kind)
        right = sum(a == b for a, b in zip(guess, truth, strict=True)) / 45
        assert right == pytest.approx(again.info.score.accuracy) == pytest.approx(row.accuracy)
        assert 0.4 < right < 1
        floors = {row.method: row.accuracy for row in scored.rows if row.method != "encoder" and row.probe == kind}
        assert again.info.floors == floors and set(floors) == {"untrained", "pixels", "majority", "chance"}
        for wrong in again.info.wrong:
            assert (truth[wrong.row], guess[wrong.row], test.name(wrong.row)) == (
                wrong.truth,
                wrong.guess,
                wrong.name,
            ) and wrong.truth != wrong.guess
        assert len(again.info.wrong) == min(12, sum(a != b for a, b in zip(guess, truth, strict=True)))


def test_samples_without_a_label_shift_no_row():
    """Train and test lose their first samples' labels: neighbours and failures must still name the right rows."""
    data, test = bright(90), bright(45, seed=1, fingerprint="test")
    data.labels["class"].values[:20] = -1
    test.labels["class"].values[:9] = -1
    bundle = vit()
    scored = score({"encoder": bundle}, labelled(data), labelled(test), Settings(("knn",)), keep_of=keep.encoder_of(bundle))
    (head,) = scored.heads
    assert head.info.score.samples == 36 and min(wrong.row for wrong in head.info.wrong) >= 9
    found = head.answer(head.encode(bundle, data.images[57][None])).part("neighbours")
    assert (found.rows[0], found.names[0], found.labels[0]) == (57, "made/057.png", "dark")
    assert found.similarities[0] == pytest.approx(1, abs=1e-3) and list(found.similarities) == sorted(found.similarities, reverse=True)


def test_a_bank_is_a_part_of_the_data_and_is_judged_by_itself(monkeypatch):
    """The accuracy in its header is that of the few samples kept, not of all that voted in the report."""
    monkeypatch.setattr(keep, "BANK", 8)
    test = bright(60, seed=1, fingerprint="test")
    bundle, data, scored, heads = kept(Settings(("knn",)), labelled(test))
    head = heads["knn"]
    assert len(head.bank) == head.info.settings["bank"] == 8 and len(set(head.rows.tolist())) == 8 and head.bank.dtype == torch.float16
    x = torch.cat([bundle.encode(data.images[row][None]).pooled for row in head.rows.tolist()])
    asked = torch.cat([bundle.encode(image[None]).pooled for image in test.images])
    guess = knn.predict(x, data.labels["class"].values[head.rows], asked, 3)[20]
    assert head.info.score.accuracy == pytest.approx((guess == test.labels["class"].values).double().mean().item(), abs=1 / 60)
    assert head.info.score.samples == 60 and scored.rows[0].accuracy != head.info.score.accuracy


def plain(dim, heads, weights, x):
    """Attention of one query over all tokens, written out head by head."""
    from tests.probes.attentive_reference import Probe

    probe = Probe(dim, heads, 3, 2).take(weights, 0).eval()
    for block in probe.blocks:
        x = block(x)
    y, cross = torch.nn.functional.layer_norm(x, (dim,), cross_norm(probe).weight, cross_norm(probe).bias), probe.cross
    parts = zip(cross.q(probe.query).chunk(heads, -1), cross.k(y).chunk(heads, -1), strict=True)
    return torch.stack([(k @ q / (dim // heads) ** 0.5).softmax(-1) for q, k in parts]).mean(0)


def cross_norm(probe):
    return probe.cross.norm1


@torch.no_grad()
def test_the_attention_map_is_that_of_a_plain_cross_attention():
    rng = torch.Generator().manual_seed(3)
    weights = {
        name: value + 0.3 * torch.randn(value.shape, generator=rng) for name, value in attentive_heads.initial(12, 3, 2, rng).items()
    }
    x = torch.randn(4, 7, 12, generator=rng)
    got = attentive_heads.attention(weights, x, None, 3, 2)
    torch.testing.assert_close(got, plain(12, 3, weights, x), atol=1e-5, rtol=1e-4)
    valid = torch.ones(4, 7, dtype=torch.bool)
    valid[1, 4:] = False
    seen = attentive_heads.attention(weights, x, valid, 3, 2)
    assert (seen[1, 4:] == 0).all() and torch.allclose(seen.sum(1), torch.ones(4))


def test_an_attentive_head_keeps_the_logits_and_shows_where_it_looks(tmp_path):
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 5, 12, generator=rng), torch.arange(60) % 3
    fitted = attentive.fit(TokenFeatures.of(x), y, 3, SMALL, heads=2)
    told = {**INFO.settings, **head_kinds.settings_of(fitted)}
    head = head_kinds.AttentiveHead(replace(INFO, kind="attentive", settings=told, parameters=fitted.parameters), fitted.weights)
    again = load_head(head.save(tmp_path))
    encoded = Encoded(x[:1], x[:1].mean(1))
    torch.testing.assert_close(again.logits(encoded).softmax(1), fitted.probabilities(TokenFeatures.of(x[:1])))
    answer = again.answer(encoded)
    assert sum(answer.part("tokens").values) == pytest.approx(1) and len(answer.part("tokens").values) == 5
    assert sum(answer.part("classes").probabilities) == pytest.approx(1)
    assert sum(value.numel() for value in again.tensors().values()) == again.info.parameters == fitted.parameters


def test_a_head_of_other_weights_is_refused(tmp_path):
    bundle, data, _, heads = kept(Settings(("linear",)))
    other = vit(seed=1)
    with pytest.raises(ValueError, match=rf"fitted on weights {bundle.sha256[:12]}.*{other.sha256[:12]}.*openjepa probe again"):
        heads["linear"].encode(other, data.images[0][None])


def test_the_hash_of_weights_sees_each_number_and_each_name():
    state = {"a": torch.arange(6.0), "b": torch.zeros(2, 3)}
    first = weights_sha256(state)
    assert weights_sha256({name: value.clone() for name, value in state.items()}) == first
    assert weights_sha256({**state, "b": torch.zeros(2, 3).index_fill(0, torch.tensor([1]), 1e-8)}) != first
    assert weights_sha256({"a": state["a"], "c": state["b"]}) != first
    assert weights_sha256({"a": state["a"].bfloat16()}) != weights_sha256({"a": state["a"]})


@pytest.mark.parametrize("place", [0.02, 0.5, 0.99])
def test_a_damaged_file_is_told_and_never_used(tmp_path, place):
    """One bit, in the header or in the numbers; or the end is missing."""
    *_, heads = kept(Settings(("knn", "linear")))
    paths = [head.save(tmp_path / "probes/heads") for head in heads.values()]
    data = bytearray(paths[0].read_bytes())
    data[int(place * len(data))] ^= 1
    paths[0].write_bytes(data)
    with pytest.raises(ValueError, match=r"damaged|no head|of kind"):
        load_head(paths[0])
    paths[0].write_bytes(bytes(data[: int(place * len(data))]))
    with pytest.raises(Damaged, match="openjepa probe again"):
        load_head(paths[0])
    listed = {one.name: one for one in heads_in(tmp_path)}
    assert listed["class-knn-0"].info is None and "damaged" in listed["class-knn-0"].problem
    assert listed["class-linear-0"].info == heads["linear"].info and not listed["class-linear-0"].problem


@pytest.mark.parametrize(
    ("spoil", "match"),
    [({"kind": "oracle"}, "of kind 'oracle'; there are linear, knn, attentive"), ({"format": 9}, "has format 9.*Upgrade")],
)
def test_a_newer_file_says_to_upgrade(tmp_path, spoil, match):
    from openjepa.checkpoint import write_tensors

    path = head_of(INFO).save(tmp_path)
    with safe_open(path, "pt") as file:
        told = json.loads(file.metadata()["head"]) | spoil
    write_tensors(path, {"x": torch.zeros(1)}, {"head": json.dumps(told), "sha256": ""})
    with pytest.raises(ValueError, match=match):
        load_head(path)


def head_of(info):
    return head_kinds.LinearHead(
        info, linear.Linear(linear.Scale(torch.zeros(2), torch.ones(2)), torch.ones(2, 3), torch.zeros(3), 1.0, ())
    )


def test_a_file_that_is_no_head_is_no_head(tmp_path):
    from openjepa.checkpoint import write_tensors

    write_tensors(tmp_path / "x.safetensors", {"x": torch.zeros(2)})
    with pytest.raises(Damaged, match="is no head"):
        load_head(tmp_path / "x.safetensors")


class Constant(Head):
    """A kind that the library does not have."""

    kind = "constant"

    def tensors(self):
        return {"x": torch.zeros(1)}

    @classmethod
    def of(cls, info, tensors):
        return cls(info)

    def answer(self, encoded):
        return Answer((Classes(("always",), (1.0,)),))


def test_a_new_kind_is_one_class_and_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS, "constant", f"{__name__}:Constant")
    Constant(replace(INFO, kind="constant")).save(tmp_path / "probes/heads")
    (listed,) = heads_in(tmp_path)
    assert listed.info.kind == "constant"
    answer = load_head(listed.path).answer(Encoded(torch.zeros(1, 1, 2), torch.zeros(1, 2)))
    assert answer.to_dict() == {"parts": [{"kind": "classes", "names": ("always",), "probabilities": (1.0,)}]}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "class-linear-7"),
        ({"question": "what is/../here"}, "what_is_.._here-linear-7"),
        ({"settings": {"pooling": "last4", "layer": -1}}, "class-linear-last4-7"),
        ({"settings": {"pooling": "mean", "layer": -3}}, "class-linear-layer-3-7"),
    ],
)
def test_names_of_files_tell_heads_apart_and_stay_in_their_folder(tmp_path, changes, name):
    path = head_of(replace(INFO, **changes)).save(tmp_path)
    assert path == tmp_path / f"{name}.safetensors" and path.exists()


def test_one_sample_at_a_time(tmp_path):
    with pytest.raises(ValueError, match="one sample at a time, 2 came"):
        head_of(INFO).answer(Encoded(torch.zeros(2, 1, 2), torch.zeros(2, 2)))


def test_few_shot_probes_leave_no_head():
    *_, heads = kept(Settings(("5-shot", "linear")))
    assert set(heads) == {"linear"}


def test_listing_many_heads_reads_no_tensor(tmp_path):
    """The numbers of a listed file may be anything: only its header is looked at."""
    path = head_of(INFO).save(tmp_path / "probes/heads")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert heads_in(tmp_path)[0].problem == ""
    assert heads_in(tmp_path / "nothing") == [] and openjepa.load_head is load_head


def test_compare_gives_back_the_encoders_probe():
    x, y = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2
    question = Question("class", ("a", "b"), y, y)
    _, found = compare({"encoder": (x, x), "untrained": (-x, 2 * x)}, question, "linear", y, y, Judge(0))
    assert isinstance(found, Outcome)
    assert torch.equal(found.fitted.predict(x), found.guess) and torch.equal(found.guess == y, found.right)
