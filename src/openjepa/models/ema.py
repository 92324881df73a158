"""The slowly moving copy that makes targets."""

import torch
from torch import nn


@torch.no_grad()
def ema_update(average: nn.Module, current: nn.Module, momentum: float) -> None:
    """average <- momentum average + (1 - momentum) current, over all parameters, in one fused call."""
    torch._foreach_lerp_(list(average.parameters()), list(current.parameters()), 1 - momentum)
