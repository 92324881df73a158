"""The step against plain torch: optimizer groups, precision, accumulation, the guard."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from openjepa.engine import Engine, NonFinite, choose_device, choose_precision, parameter_groups, split, time_gemm
from openjepa.modalities.image import Image
from openjepa.models.encoder import EncoderConfig
from openjepa.models.predictor import PredictorConfig
from openjepa.objectives.jepa import JEPAConfig
from openjepa.run import OptimizerConfig, Run
from openjepa.schedules import Cosine, WarmupCosine

CPU = torch.device("cpu")
RUN = Run(
    modality=Image(size=(40, 56), patch=(5, 7)),
    objective=JEPAConfig(encoder=EncoderConfig(dim=24, depth=1, heads=2), predictor=PredictorConfig(dim=16, depth=1, heads=2)),
    optimizer=OptimizerConfig(lr=WarmupCosine(start=1e-3, peak=1e-3, final=1e-3, warmup=0.0), weight_decay=Cosine(start=0.1, final=0.1)),
    steps=10,
    batch_size=4,
)


def engine(run=RUN, precision="float32"):
    torch.manual_seed(0)
    return Engine(run, run.objective.build(run.modality), CPU, precision)


def batch(run=RUN, step=0):
    view = torch.randint(0, 256, (4, 3, 40, 56), dtype=torch.uint8, generator=torch.Generator().manual_seed(step))
    return run.objective.collate(view, run.modality, 0, step, range(4))


def weights(e):
    return {name: p.detach().clone() for name, p in e.objective.named_parameters()}


def test_biases_and_vectors_are_not_decayed():
    objective = RUN.objective.build(RUN.modality)
    decayed, free = parameter_groups(objective)
    names = {p: name for name, p in objective.named_parameters()}
    assert {names[p] for p in free["params"]} == {
        n for n, p in objective.named_parameters() if p.requires_grad and (p.ndim == 1 or n.endswith("bias"))
    }
    assert "predictor.mask_token" in {names[p] for p in decayed["params"]}
    assert len(decayed["params"]) + len(free["params"]) == sum(p.requires_grad for p in objective.parameters())


def test_three_steps_are_those_of_plain_torch():
    """A separate loop with torch's unfused AdamW and a Python EMA."""
    ours = engine()
    torch.manual_seed(0)
    plain = RUN.objective.build(RUN.modality)
    groups = parameter_groups(plain)
    groups[0]["weight_decay"] = 0.1
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, foreach=False, fused=False)
    for step in range(3):
        output, norm, _ = ours.step(batch(step=step), step)
        loss = plain.loss(batch(step=step), step / 10).loss
        optimizer.zero_grad()
        loss.backward()
        wanted = torch.stack([p.grad.norm() for p in plain.parameters() if p.requires_grad]).norm()
        optimizer.step()
        m = 0.996 + (1 - 0.996) * step / 10
        with torch.no_grad():
            for slow, fast in zip(plain.target_encoder.parameters(), plain.encoder.parameters(), strict=True):
                slow.copy_(m * slow + (1 - m) * fast)
        torch.testing.assert_close(output.loss, loss.detach())
        torch.testing.assert_close(norm, wanted)
    for (name, a), b in zip(ours.objective.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5, msg=name)


def test_a_step_sets_what_the_published_counters_say():
    """Learning rate and decay are counted up before they are used, the momentum after (recipes: I-JEPA 1.8)."""
    optimizer = OptimizerConfig(lr=WarmupCosine(start=0.0, peak=1e-3, final=0.0, warmup=0.5), weight_decay=Cosine(start=0.1, final=0.3))
    e = engine(replace(RUN, optimizer=optimizer))
    came = [e.step(batch(step=step), step)[2] for step in (0, 4, 9)]
    assert [c["lr"] for c in came] == pytest.approx([2e-4, 1e-3, 0.0])
    assert [c["weight_decay"] for c in came] == pytest.approx([optimizer.weight_decay(p) for p in (0.1, 0.5, 1.0)])
    assert [c["momentum"] for c in came] == pytest.approx([0.996, 0.9976, 0.9996])


def test_micro_batches_add_up_to_the_batch():
    whole, parts = engine(), engine(replace(RUN, accumulate=2))
    a, norm_a, _ = whole.step(batch(), 0)
    b, norm_b, _ = parts.step(batch(), 0)
    torch.testing.assert_close(a.loss, b.loss)
    torch.testing.assert_close(norm_a, norm_b)
    with pytest.raises(ValueError, match="batch_size 4 does not split into 3"):
        replace(RUN, accumulate=3)


def test_split_keeps_samples_with_their_masks():
    first, second = split(batch(), 2)
    assert torch.equal(torch.cat([first.views[0], second.views[0]]), batch().views[0])
    assert torch.equal(second.masks[0].targets, batch().masks[0].targets[2:])


def test_bfloat16_follows_float32():
    """Losses to 1e-2 over 10 steps of a tiny model; masters, moments and EMA stay float32."""
    full, half = engine(), engine(precision="bfloat16")
    for step in range(10):
        a, _, _ = full.step(batch(step=step), step)
        b, _, _ = half.step(batch(step=step), step)
        torch.testing.assert_close(a.loss, b.loss, atol=1e-2, rtol=0)
    assert b.loss.dtype == torch.float32
    assert {p.dtype for p in half.objective.parameters()} == {torch.float32}
    assert {p.dtype for p in half.compute.parameters()} == {torch.bfloat16}
    assert {v.dtype for s in half.optimizer.state.values() for v in s.values()} == {torch.float32}
    assert {p.dtype for p in half.objective.target_encoder.parameters()} == {torch.float32}
    for master, copy in zip(half.objective.parameters(), half.compute.parameters(), strict=True):
        assert torch.equal(master.to(torch.bfloat16), copy)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_bad_number_stops_before_the_weights_change(precision):
    e = engine(precision=precision)
    e.step(batch(), 0)
    before = weights(e)
    original = e.forward

    def poisoned(part, progress):
        output = original(part, progress)
        return replace(output, loss=output.loss * float("nan"))

    e.forward = poisoned
    with pytest.raises(NonFinite, match="not finite at step 7; the weights are those before it"):
        e.step(batch(), 7)
    assert all(torch.equal(before[name], p) for name, p in e.objective.named_parameters())


def test_without_a_check_the_update_is_still_skipped_on_the_device(monkeypatch):
    """What a GPU does between two log lines."""
    e = engine()
    e.step(batch(), 0)
    learned = {n: p.detach().clone() for n, p in e.objective.named_parameters() if p.requires_grad}
    monkeypatch.setattr(e, "check", lambda: None)
    e.bad.fill_(1.0)
    e.step(batch(step=1), 1)
    assert all(torch.equal(learned[n], p) for n, p in e.objective.named_parameters() if p.requires_grad)


def test_an_infinite_gradient_is_caught_too():
    e = engine()
    next(p for p in e.objective.parameters() if p.requires_grad).register_hook(lambda g: g * float("inf"))
    with pytest.raises(NonFinite, match="step 3"):
        e.step(batch(), 3)


def test_clipping_bounds_the_gradient():
    e = engine(replace(RUN, optimizer=replace(RUN.optimizer, clip=1e-3)))
    seen = []
    e.optimizer.register_step_pre_hook(lambda o, *_: seen.append(torch.nn.utils.get_total_norm([p.grad for p in e.trained])))
    _, norm, _ = e.step(batch(), 0)
    assert norm > 1e-2 and seen[0] == pytest.approx(1e-3, rel=1e-3)


def test_precision_is_measured_or_asked_for():
    assert choose_precision("bfloat16", CPU, 64)[0] == "bfloat16"
    chosen, why = choose_precision("auto", CPU, 64)
    assert chosen in ("float32", "bfloat16") and " x as fast as float32" in why


def test_a_product_is_timed_however_little_time_there_is():
    assert 0 < time_gemm(torch.float32, CPU, 8, tokens=8, seconds=0.0) < 10


def test_auto_takes_bfloat16_only_where_it_is_faster(monkeypatch):
    for half, wanted in ((0.4, "bfloat16"), (0.9, "float32"), (3.0, "float32")):
        monkeypatch.setattr("openjepa.engine.time_gemm", lambda dtype, *_, half=half: half if dtype == torch.bfloat16 else 1.0)
        assert choose_precision("auto", CPU, 64)[0] == wanted


def test_a_device_that_is_not_there_is_named():
    for name in ("cuda:99", "toaster"):
        with pytest.raises(ValueError, match=f"device '{name}' cannot be used here"):
            choose_device(name)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc only")
def test_freed_memory_is_kept_and_costs_no_page_faults_again():
    code = """
import resource, torch
from openjepa.engine import keep_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24, dtype=torch.uint8), torch.ones(2**24, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
kept = keep_memory()
faults()
print(kept, min(faults() for _ in range(3)))
"""
    kept, count = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    if kept == "False":
        pytest.skip("not glibc")
    assert int(count) < 500  # 8,192 pages of 4 kB
