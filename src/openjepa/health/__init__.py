"""Is it learning or collapsing? Numbers from one batch, and a verdict in words with the knob to turn.

A falling loss proves nothing: a target encoder that says the same everywhere, or only says where it
is, can be predicted perfectly. So the loss is read next to what the targets still tell apart.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from openjepa.health.numbers import chosen, describe, position_share
from openjepa.health.verdict import Verdict, judge
from openjepa.objectives.objective import Prediction
from openjepa.tokens import Masks, Tokens

__all__ = ["Verdict", "judge", "measure"]

PLACES = 256  # places of a sample that are looked at
SPREAD = 8192  # tokens behind means, variances and the share of position


@torch.no_grad()
def measure(prediction: Prediction) -> dict[str, Tensor]:
    """Health of one batch as scalars, in float32, still on the device; nothing where every sample of a batch is padded.

    The features judged are the un-normalised targets of every token where the objective has a target
    encoder (JEPA), else the encoder's context tokens (MAE, whose targets are pixels and cannot collapse):

    std, std_min       std over tokens per dimension, mean and least; `dead`: share of dimensions under 1 % of the median
    spread             mean std per dimension after scaling every token to length sqrt(d): 1 healthy, 0 all alike
    participation      (sum l)^2 / sum l^2 of the covariance's eigenvalues l, 1 to d (place means removed, as place looks like rank)
    effective_rank     exp of the entropy of l / sum l, 1 to d (eigenvalues, not Roy and Vetterli's singular values)
    participation_pooled  participation of the mean token of each sample; at most the number of samples
    cosine             mean cosine of two tokens; `cosine_centred`: mean |cosine| with place means removed, 1 on one line.
                       (absolute: centred vectors sum to nothing, so their signed mean is near 0 even on one line)
    position_share     variance between places over all variance, 0 to 1, both without small-sample bias
    guess_...          the same of the guesses
    goal_position_share   position_share of what the loss is compared with
    miss_vs_mean       1 - R^2: squared error over that of always answering the mean goal
    miss_vs_place      ... over that of answering the mean goal of each place: what is won beyond knowing the place
    miss_vs_copy       ... over that of copying the goal of the nearest context token (only with target features)
    """
    prediction = unpadded(prediction)
    masks, raw = prediction.masks, prediction.raw_goals
    if not len(prediction.guesses):
        return {}
    guesses, goals = prediction.guesses.flatten(1, 2).float(), prediction.goals.flatten(1, 2).float()
    n = places(prediction)
    b = min(len(guesses), max(32, SPREAD // min(n, PLACES)))
    guesses, goals, asked = guesses[:b], goals[:b], masks.targets[:b].flatten(1)
    if raw is not None:
        keep = chosen(n, PLACES).to(raw.device)
        features, index = raw[:b, keep].float(), keep.expand(b, -1)
    else:
        features, index = prediction.context.values[:b].float(), masks.context[:b]
    numbers = describe(features, index, n)
    numbers |= {f"guess_{name}": value for name, value in describe(guesses, asked, n).items()}
    numbers["goal_position_share"] = position_share(goals, asked, n)
    error = (guesses - goals).square().mean()
    numbers["miss_vs_mean"] = error / (goals - goals.mean((0, 1))).square().mean()
    numbers["miss_vs_place"] = numbers["miss_vs_mean"] / (1 - numbers["goal_position_share"])
    if raw is not None:
        copied = nearest(prediction, b)
        numbers["miss_vs_copy"] = error / (copied - goals).square().mean()
    return numbers


def unpadded(prediction: Prediction) -> Prediction:
    """Of ragged samples only those without padding: a statistic over padding would say nothing, and they are enough."""
    masks, there = prediction.masks, [x.flatten(1).all(1) for x in (prediction.valid, prediction.raw_valid) if x is not None]
    there += [x.all(1) for x in (prediction.masks.context_valid,) if x is not None]
    if not there:
        return prediction
    rows = torch.stack(there).all(0).nonzero()[:, 0]
    context = prediction.context
    return Prediction(
        Tokens(context.values[rows], context.positions[rows]),
        prediction.guesses[rows],
        prediction.goals[rows],
        prediction.where[rows],
        Masks(masks.context[rows], masks.targets[rows]),
        None if prediction.raw_goals is None else prediction.raw_goals[rows],
    )


def nearest(prediction: Prediction, b: int) -> Float[Tensor, "b t d"]:
    """For every asked place the goal of the context token nearest to it (the first of equals).

    Target features are layer-normed here as JEPA's loss does with its goals.
    """
    assert prediction.raw_goals is not None
    raw, context = prediction.raw_goals[:b].float(), prediction.masks.context[:b]
    distance = torch.cdist(prediction.where[:b].flatten(1, 2), prediction.context.positions[:b])
    source = context.gather(1, distance.argmin(-1))
    copied = raw.gather(1, source[..., None].expand(-1, -1, raw.shape[-1]))
    return F.layer_norm(copied, copied.shape[-1:])


def places(prediction: Prediction) -> int:
    """How many places a sample has."""
    masks = prediction.masks
    if prediction.raw_goals is not None:
        return prediction.raw_goals.shape[1]
    if masks.targets.shape[1] == 1:  # one target: all that is not context
        return masks.context.shape[1] + masks.targets.shape[2]
    return int(torch.maximum(masks.context.max(), masks.targets.max())) + 1
