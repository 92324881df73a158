"""Changes to a clip that a viewer would be surprised by: time runs backwards, things jump, stand still, or come in another order."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Shaped
from torch import Tensor

Kind = Literal["none", "reverse", "teleport", "freeze", "swap"]


@dataclass(frozen=True)
class Edit:
    """`at` is the first frame that may differ; frames before it stay as they are.

    reverse: frames at..until-1 in the opposite order; twice is the clip itself.
    teleport: these frames with their content moved by `shift`, around the edges; (0, 0.5) lets left and right halves change places.
    freeze: these frames are the one before `at`.
    swap: frames `at` and until-1 change places.
    """

    kind: Kind = "none"
    at: int = 1
    until: int | None = None  # the first frame that is again as it was; None: to the end
    shift: tuple[float, float] = (0.0, 0.5)  # down and to the right, shares of the height and the width

    def __call__(self, clip: Shaped[Tensor, "c t h w"]) -> Shaped[Tensor, "c t h w"]:
        """The clip with this change. ValueError where `at` and `until` are no frames of it."""
        frames, (height, width) = clip.shape[1], clip.shape[2:]
        end = frames if self.until is None else self.until
        if not 1 <= self.at < end <= frames:
            raise ValueError(f"frames {self.at} to {end} of a clip of {frames}; the first to change is 1 or later, the end lies behind it")
        part = clip[:, self.at : end]
        if self.kind == "reverse":
            part = part.flip(1)
        elif self.kind == "teleport":
            rows, columns = round(self.shift[0] * height), round(self.shift[1] * width)
            part = part.roll((rows, columns), (2, 3))
        elif self.kind == "freeze":
            part = clip[:, self.at - 1 : self.at].expand_as(part)
        elif self.kind == "swap":
            part = torch.cat([part[:, -1:], part[:, 1:-1], part[:, :1]], 1) if part.shape[1] > 1 else part
        return torch.cat([clip[:, : self.at], part, clip[:, end:]], 1)
