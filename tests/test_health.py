"""Health against closed forms and slow float64 numpy: ranks, shares, baselines; then the verdict on made-up and real runs."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from openjepa.health import judge, measure
from openjepa.health.numbers import describe, effective_rank, participation, position_share, spectrum
from openjepa.modalities.grid import positions
from openjepa.objectives.objective import Prediction, take_blocks
from openjepa.tokens import Masks, Tokens, gather


def with_eigenvalues(n: int, values: list[float], seed: int = 0) -> torch.Tensor:
    """Rows whose sample covariance has exactly these eigenvalues, rotated."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, len(values)))
    x -= x.mean(0)
    q, _ = np.linalg.qr(x)
    rotation, _ = np.linalg.qr(rng.normal(size=(len(values), len(values))))
    return torch.tensor(q * math.sqrt(n - 1) * np.sqrt(values) @ rotation, dtype=torch.float32)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e6])
@pytest.mark.parametrize("n", [7, 11, 97])
def test_ranks_of_a_known_spectrum_are_its_closed_forms(n, scale):
    values = [8.0, 4.0, 2.0, 1.0, 1.0]
    x = with_eigenvalues(n, values) * scale + 3 * scale
    share = np.array(values) / sum(values)
    assert participation(x).item() == pytest.approx(sum(values) ** 2 / sum(v * v for v in values), rel=1e-4)
    assert effective_rank(spectrum(x)).item() == pytest.approx(math.exp(-(share * np.log(share)).sum()), rel=1e-4)


def test_fewer_rows_than_dimensions_gives_the_same_ranks_by_the_other_gram_matrix():
    x = torch.randn(5, 23, generator=torch.Generator().manual_seed(0))
    eigenvalues = np.linalg.eigvalsh(np.cov(x.double().numpy().T)).clip(0)
    share = eigenvalues[eigenvalues > 1e-12] / eigenvalues.sum()
    assert participation(x).item() == pytest.approx(eigenvalues.sum() ** 2 / (eigenvalues**2).sum(), rel=1e-4)
    assert effective_rank(spectrum(x)).item() == pytest.approx(math.exp(-(share * np.log(share)).sum()), rel=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.99])
@pytest.mark.parametrize("b", [2, 5, 31])
def test_position_share_has_no_small_sample_bias(share, b):
    """The naive share (variance of place means over all) is off by (1 - share) / b: .5 for b = 2, share 0."""
    n, d, found = 29, 7, []
    for seed in range(40):
        rng = torch.Generator().manual_seed(seed)
        place = torch.randn(1, n, d, generator=rng)
        place = (place - place.mean(1, keepdim=True)) / place.var(1).mean().sqrt()
        x = share**0.5 * place + (1 - share) ** 0.5 * torch.randn(b, n, d, generator=rng)
        found.append(position_share(x, torch.arange(n).expand(b, -1), n).item())
    # negative estimates are clamped to 0, which leaves a little when there is nothing
    assert np.mean(found) == pytest.approx(share, abs=0.05 if share == 0 else 0.012)


def test_position_share_with_places_in_any_order_and_number_equals_the_slow_sums():
    rng = torch.Generator().manual_seed(1)
    b, n, k, d = 11, 13, 5, 3
    index = torch.stack([torch.randperm(n, generator=rng)[:k] for _ in range(b)])
    x = torch.randn(b, k, d, generator=rng) + torch.randn(n, d, generator=rng)[index]
    groups: dict[int, list[np.ndarray]] = {}
    for i in range(b):
        for j in range(k):
            groups.setdefault(int(index[i, j]), []).append(x[i, j].double().numpy())
    total, grand = b * k, x.double().numpy().reshape(-1, d).mean(0)
    within = sum(((np.array(g) - np.mean(g, 0)) ** 2).sum() for g in groups.values()) / (total - len(groups))
    between = sum(len(g) * ((np.mean(g, 0) - grand) ** 2).sum() for g in groups.values()) / (len(groups) - 1)
    average = (total - sum(len(g) ** 2 for g in groups.values()) / total) / (len(groups) - 1)
    place = (between - within) / average
    assert position_share(x, index, n).item() == pytest.approx(place / (place + within), rel=1e-4)


def test_describe_equals_float64_numpy():
    b, n, d = 17, 7, 5
    x = torch.randn(b, n, d, generator=torch.Generator().manual_seed(2)) * torch.tensor([3.0, 1.0, 1.0, 0.5, 1e-4]) + 0.7
    found = {name: value.item() for name, value in describe(x, torch.arange(n).expand(b, -1), n).items()}
    z = x.double().numpy()
    flat, content = z.reshape(-1, d), (z - z.mean(0)).reshape(-1, d)
    std = flat.std(0, ddof=1)
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    line = content / np.linalg.norm(content, axis=1, keepdims=True)
    off = ~np.eye(len(flat), dtype=bool)
    pooled = np.linalg.eigvalsh(np.cov(z.mean(1).T))
    oracle = {
        "std": std.mean(),
        "std_min": std.min(),
        "dead": 1 / 5,
        "spread": unit.std(0, ddof=1).mean() * math.sqrt(d),
        "cosine": (unit @ unit.T)[off].mean(),
        "cosine_centred": np.abs(line @ line.T)[off].mean(),
        "participation_pooled": pooled.sum() ** 2 / (pooled**2).sum(),
    }
    for name, value in oracle.items():
        assert found[name] == pytest.approx(value, rel=1e-4), name


def test_place_means_do_not_count_as_rank():
    """Places far apart in many directions, content on one line: rank 1, not 20."""
    rng = torch.Generator().manual_seed(3)
    places = 10 * torch.randn(1, 23, 19, generator=rng)
    content = torch.randn(31, 23, 1, generator=rng) * torch.randn(19, generator=rng)
    found = describe(places + content, torch.arange(23).expand(31, -1), 23)
    assert found["participation"].item() == pytest.approx(1, abs=0.01)
    assert found["effective_rank"].item() == pytest.approx(1, abs=0.02)
    assert found["cosine_centred"].item() == pytest.approx(1, abs=0.01)


# ---- baselines


def prediction(raw: torch.Tensor, k: int = 5, blocks: int = 3, t: int = 4, guess: str = "goal") -> Prediction:
    """A prediction on a 5 x 7 grid of features `raw` [b 35 d], with guesses of a known quality."""
    b, n = raw.shape[:2]
    rng = torch.Generator().manual_seed(4)
    order = torch.stack([torch.randperm(n, generator=rng) for _ in range(b)])
    masks = Masks(order[:, :k], order[:, k : k + blocks * t].unflatten(1, (blocks, t)))
    where = positions((5, 7)).expand(b, -1, -1)
    goals = take_blocks(F.layer_norm(raw, raw.shape[-1:]), masks.targets)
    guesses = {"goal": goals, "mean": goals.mean((0, 1, 2)).expand_as(goals), "noise": torch.randn(goals.shape, generator=rng)}[guess]
    context = Tokens(gather(raw, masks.context), gather(where, masks.context))
    return Prediction(context, guesses, goals, take_blocks(where, masks.targets), masks, raw)


def test_right_answers_miss_nothing_and_the_mean_goal_misses_everything():
    raw = torch.randn(19, 35, 11, generator=torch.Generator().manual_seed(5))
    assert measure(prediction(raw))["miss_vs_mean"].item() == 0
    assert measure(prediction(raw, guess="mean"))["miss_vs_mean"].item() == pytest.approx(1, abs=1e-5)
    assert measure(prediction(raw, guess="noise"))["miss_vs_mean"].item() == pytest.approx(2, abs=0.1)


def test_copying_the_nearest_context_token_equals_the_slow_loop():
    raw = torch.randn(6, 35, 11, generator=torch.Generator().manual_seed(6))
    p = prediction(raw, guess="noise")
    goals = F.layer_norm(raw, (11,))
    copied, missed = [], []
    for i in range(6):
        for block in range(3):
            for j in range(4):
                target = int(p.masks.targets[i, block, j])
                distance = [math.dist(divmod(target, 7), divmod(int(c), 7)) for c in p.masks.context[i]]
                source = int(p.masks.context[i, int(np.argmin(distance))])
                copied.append(((goals[i, source] - goals[i, target]) ** 2).mean().item())
                missed.append(((p.guesses[i, block, j] - goals[i, target]) ** 2).mean().item())
    assert measure(p)["miss_vs_copy"].item() == pytest.approx(np.mean(missed) / np.mean(copied), rel=1e-4)


def test_knowing_only_the_place_misses_nothing_of_the_mean_and_everything_of_the_place():
    rng = torch.Generator().manual_seed(7)
    place = 3 * torch.randn(1, 35, 64, generator=rng)
    p = prediction(place + torch.randn(64, 35, 64, generator=rng))
    mean = F.layer_norm(p.raw_goals, (64,)).mean(0)
    blind = take_blocks(mean.expand(64, -1, -1), p.masks.targets)
    found = measure(Prediction(p.context, blind, p.goals, p.where, p.masks, p.raw_goals))
    assert found["miss_vs_mean"].item() == pytest.approx(0.1, abs=0.02)
    assert found["miss_vs_place"].item() == pytest.approx(1, abs=0.05)
    assert found["position_share"].item() == pytest.approx(0.9, abs=0.02)
    assert found["guess_position_share"].item() == pytest.approx(1, abs=1e-3)


def test_without_target_features_the_context_is_judged():
    """MAE: pixels cannot collapse, the encoder's features can."""
    raw = torch.randn(32, 35, 11, generator=torch.Generator().manual_seed(8))
    p = prediction(raw, guess="noise")
    flat = Tokens(torch.zeros_like(p.context.values) + 1e-6 * p.context.values + 1, p.context.positions)
    whole = Masks(p.masks.context, torch.zeros(32, 1, 30, dtype=torch.long))
    for targets, goals in ((p.masks, p.goals), (whole, torch.randn(32, 1, 30, 11))):
        where = torch.zeros(*goals.shape[:3], 2)
        found = measure(Prediction(flat, torch.zeros_like(goals), goals, where, targets))
        assert found["spread"].item() < 1e-4
        assert "miss_vs_copy" not in found


def test_bfloat16_features_are_measured_in_float32():
    """In bfloat16 a sum over 2,000 tokens stops growing at 256."""
    raw = torch.randn(64, 35, 11, generator=torch.Generator().manual_seed(9)) + 1
    p = prediction(raw, guess="noise")
    half = Prediction(p.context, p.guesses.bfloat16(), p.goals, p.where, p.masks, raw.bfloat16())
    full, low = measure(p), measure(half)
    for name in full:
        assert low[name].dtype == torch.float32
        assert low[name].item() == pytest.approx(full[name].item(), rel=0.02, abs=0.005), name


# ---- the verdict

UNTRAINED = {"spread": 0.8, "std": 0.5, "participation": 30.0, "effective_rank": 60.0, "cosine_centred": 0.1, "position_share": 0.7}
HEALTHY = UNTRAINED | {"miss_vs_mean": 0.4, "miss_vs_place": 0.6, "miss_vs_copy": 0.5, "loss": 0.2, "position_share": 0.4}


@pytest.mark.parametrize(
    ("change", "name", "knob"),
    [
        ({}, "learning", "nothing to change"),
        ({"spread": 0.03}, "full collapse", "--objective.momentum.start"),
        ({"std": 0.02}, "full collapse", "--optimizer.lr.peak"),
        ({"participation": 1.8}, "dimensional collapse", "--objective.momentum.start"),
        ({"cosine_centred": 0.97}, "dimensional collapse", "--objective.predictor.depth"),
        ({"position_share": 0.95, "miss_vs_mean": 0.01}, "position collapse", "--objective.balance"),
        ({"miss_vs_mean": 0.995}, "not learning", "--optimizer.lr.peak"),
    ],
)
def test_each_threshold_has_its_word_and_its_knob(change, name, knob):
    verdict = judge(HEALTHY | change, UNTRAINED, [], progress=0.5)
    assert verdict.name == name
    assert knob in verdict.advice
    assert verdict.collapsed == name.endswith("collapse")
    assert all(math.isnan(then) or then == UNTRAINED[number] for number, (_, then) in verdict.numbers.items())


def test_before_warm_up_only_a_full_collapse_is_called():
    assert judge(HEALTHY | {"participation": 1.5}, UNTRAINED, [], progress=0.05).name == "warming up"
    assert judge(HEALTHY | {"spread": 0.001}, UNTRAINED, [], progress=0.05).name == "full collapse"


def test_one_odd_batch_is_not_a_verdict_and_two_are():
    odd = HEALTHY | {"participation": 1.5}
    assert judge(odd, UNTRAINED, [HEALTHY, HEALTHY], progress=0.5).name == "learning"
    assert judge(odd, UNTRAINED, [HEALTHY, odd], progress=0.5).name == "dimensional collapse"


def test_small_patches_that_begin_with_mostly_position_are_not_collapsed_while_content_grows():
    start = UNTRAINED | {"position_share": 0.97}
    assert judge(HEALTHY | {"position_share": 0.92}, start, [], progress=0.5).name == "learning"
    assert judge(HEALTHY | {"position_share": 0.96}, start, [], progress=0.5).name == "position collapse"


def test_a_loss_that_rises_with_richer_targets_is_told_from_one_that_gets_worse():
    def run(**last: float) -> list[dict[str, float]]:
        rows = []
        for i in range(20):
            late = max(0, i - 10) / 10
            rows.append({f"health/{k}" if k != "loss" else k: v * (1 + late * last.get(k, 0.0)) for k, v in HEALTHY.items()})
        return rows

    rising = run(loss=0.5, effective_rank=0.3)
    assert judge(rising[-1], UNTRAINED, rising[:-1], progress=0.8).name == "loss rising: richer targets"
    worse = run(loss=0.8, miss_vs_mean=0.8)
    assert judge(worse[-1], UNTRAINED, worse[:-1], progress=0.8).name == "not learning"
    harder = run(loss=0.8, effective_rank=0.3, miss_vs_mean=0.5)
    assert judge(harder[-1], UNTRAINED, harder[:-1], progress=0.8).name == "learning"
    harder = run(loss=0.8, effective_rank=0.3, miss_vs_mean=0.5, miss_vs_copy=-0.2)
    assert judge(harder[-1], UNTRAINED, harder[:-1], progress=0.8).name == "loss rising: richer targets"
    flat = run()
    assert judge(flat[-1], UNTRAINED, flat[:-1], progress=0.8).name == "learning"


def test_the_advice_for_mae_names_no_setting_that_mae_does_not_have():
    mae = {k: v for k, v in HEALTHY.items() if k != "miss_vs_copy"}
    for change in ({"spread": 0.01}, {"position_share": 0.95}, {"participation": 1.5}, {"miss_vs_mean": 1.0}):
        advice = judge(mae | change, UNTRAINED, [], progress=0.5).advice
        assert not any(word in advice for word in ("momentum", "predictor", "balance", "stop-gradient", "target-layers")), advice


def test_missing_and_null_numbers_make_no_verdict_and_no_error():
    assert judge({"loss": 0.3, "health/participation": None, "verdict": "learning"}, {}, [{"loss": None}], progress=0.5).name == "learning"


def test_an_untrained_encoder_of_low_rank_is_not_called_collapsed_for_staying_there():
    """On photos the brightness of a patch is most of what an untrained encoder says."""
    start = UNTRAINED | {"participation": 1.7}
    assert judge(HEALTHY | {"participation": 1.8}, start, [], progress=0.5).name == "learning"
    assert judge(HEALTHY | {"participation": 1.1}, start, [], progress=0.5).name == "dimensional collapse"


# ---- real training: the world's pictures, a very small encoder


def trained(steps: int, learning_rate: float = 1e-3, **settings: object) -> list[str]:
    """Verdict names at every 5th step of a small I-JEPA."""
    from openjepa.data.worlds.tabletop import Tabletop
    from openjepa.masks.random import Random
    from openjepa.modalities.image import Image
    from openjepa.models.encoder import EncoderConfig
    from openjepa.models.predictor import PredictorConfig
    from openjepa.objectives.jepa import JEPAConfig

    torch.manual_seed(0)
    encoder = EncoderConfig(dim=48, depth=2, heads=2, init_std=0.05, position_scale=0.2)
    predictor = PredictorConfig(dim=24, depth=1, heads=2)
    config = JEPAConfig(encoder=encoder, predictor=predictor, masks=Random(ratio=0.6), union=True, **settings)
    modality = Image(size=(32, 32), patch=(8, 8))
    objective = config.build(modality)
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=learning_rate)
    pictures = Tabletop(count=512).render(list(range(512)))
    history: list[dict[str, float]] = []
    names = []
    for step in range(steps):
        rows = np.random.default_rng(step).choice(512, 32, replace=False)
        output = objective.loss(config.collate(pictures[rows], modality, 0, step, rows), step / steps)
        if step % 5 == 0:
            row = {name: value.item() for name, value in measure(output.prediction).items()}
            names.append(judge(row, history[0] if history else row, history, step / steps).name)
            history.append(row)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        objective.after_step(step / steps)
    return names


def test_a_run_without_stop_gradient_is_called_collapsed_and_a_healthy_one_is_not():
    from openjepa.schedules import Linear

    broken = trained(100, momentum=Linear(start=0.0, final=0.0), stop_gradient=False)
    assert broken[-1] == "full collapse", broken
    healthy = trained(80, momentum=Linear(start=0.99, final=1.0))
    assert healthy[-1] == "learning", healthy
    assert not any(name.endswith("collapse") for name in healthy), healthy
