"""What became of every tensor of a file: nothing is dropped, and nothing stays random, without a line here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SHOWN = 8  # names listed of each kind; the report as JSON has all


class Mismatch(ValueError):
    """A file whose tensors are not those of the model; `report` says which."""

    def __init__(self, text: str, report: "KeyReport") -> None:
        super().__init__(text)
        self.report = report


@dataclass
class KeyReport:
    """Names as in the file, but `missing`, which are names that the file should have had."""

    source: str
    matched: list[str] = field(default_factory=list)
    reshaped: dict[str, str] = field(default_factory=dict)  # name -> how its numbers were laid out anew
    unused: dict[str, str] = field(default_factory=dict)  # name -> why it is not needed
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    misfits: dict[str, str] = field(default_factory=dict)  # name -> shape that came and shape that was wanted

    @property
    def clean(self) -> bool:
        return not (self.missing or self.unexpected or self.misfits)

    def text(self) -> str:
        """A line per kind, the first few names of what does not fit."""
        lines = [f"{self.source}: {len(self.matched)} tensors matched, {len(self.reshaped)} of them laid out anew"]
        for name, why in collect(self.unused).items():
            lines.append(f"  not needed: {name} ({why})")
        for title, names in (("missing", self.missing), ("unexpected", self.unexpected)):
            if names:
                lines.append(f"  {title} {len(names)}: {listed(names)}")
        if self.misfits:
            lines.append(f"  of another shape {len(self.misfits)}: {listed([f'{name} {why}' for name, why in self.misfits.items()])}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def check(self) -> None:
        """Mismatch where a tensor is missing, unknown or of another shape."""
        if not self.clean:
            raise Mismatch(
                f"the tensors do not fit the model:\n{self.text()}\nnothing was loaded; is it a file of this architecture?", self
            )


def listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def collect(unused: Mapping[str, str]) -> dict[str, str]:
    """Names of one reason on one line."""
    found: dict[str, list[str]] = {}
    for name, why in unused.items():
        found.setdefault(why, []).append(name)
    return {listed(names): why for why, names in found.items()}
