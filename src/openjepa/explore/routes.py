"""What a panel's module is made of: questions, answers, and the addresses they are asked at.

    @post("jepa/predict", PredictAsked)
    def predict(shelf: Shelf, asked: PredictAsked) -> Answer: ...

    @get("runs/{run}/metrics")
    def metrics(shelf: Shelf, asked: Query) -> Answer: ...

A function behind `post` runs in the one thread that owns the models; one behind `get` beside others, and touches no model.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any, Literal, TypeVar

from torch import Tensor

Query = Mapping[str, str]  # parts of the path and of what follows "?"
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Answer:
    """Numbers: `meta` as JSON, arrays as they are."""

    meta: Any
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """A file: a picture or a sound."""

    data: bytes
    media_type: str


@dataclass(frozen=True)
class Upload:
    """A file as the body of a question: what `post(path, Upload)` is asked."""

    data: bytes = field(repr=False)
    name: str  # as the page sent it, percent-encoded
    path: Query  # parts of the address


class Problem(Exception):
    """An error that the page shows: what came, what was wanted, and perhaps a command line that helps."""

    def __init__(self, status: int, title: str, detail: str = "", hint: str = "", fix: str = "") -> None:
        super().__init__(detail or title)
        self.status, self.title, self.detail, self.hint, self.fix = status, title, detail, hint, fix


@dataclass(frozen=True)
class Route:
    method: Literal["GET", "POST"]
    path: str  # below api/v1
    function: Callable[..., Answer | Raw | Iterator[Answer]]
    asks: type | None  # a dataclass; None: a mapping of strings
    models: bool  # whether it needs the one thread that owns them


def get(path: str) -> Callable[[F], F]:
    """The function answers GET api/v1/<path>."""
    return _marked(lambda function: Route("GET", path, function, None, models=False))


def post(path: str, asks: type, *, models: bool = True) -> Callable[[F], F]:
    """The function answers POST api/v1/<path>, whose JSON body is an `asks`. Without `models` it runs beside others, as behind `get`."""
    return _marked(lambda function: Route("POST", path, function, asks, models))


def _marked(route: Callable[[Any], Route]) -> Callable[[F], F]:
    def mark(function: F) -> F:
        function.__route__ = route(function)  # type: ignore[attr-defined]
        return function

    return mark


def routes_of(module: ModuleType) -> list[Route]:
    """What a module answers, in the order of its text."""
    return [found.__route__ for found in vars(module).values() if hasattr(found, "__route__") and found.__module__ == module.__name__]


@cache
def _converter() -> Any:
    """Strict: no number is made of a text, and a field that nobody knows is an error."""
    from cattrs.preconf.json import make_converter

    converter = make_converter(forbid_extra_keys=True)

    def number(value: Any, _: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{value!r} is no number")
        return float(value)

    def whole(value: Any, _: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{value!r} is no whole number")
        return value

    def exactly(kind: type) -> Callable[[Any, Any], Any]:
        def check(value: Any, _: Any) -> Any:
            if not isinstance(value, kind):
                raise ValueError(f"{value!r} is no {kind.__name__}")
            return value

        return check

    converter.register_structure_hook(float, number)
    converter.register_structure_hook(int, whole)
    converter.register_structure_hook(str, exactly(str))
    converter.register_structure_hook(bool, exactly(bool))
    return converter


def read_asked(data: Any, asks: type) -> Any:
    """JSON to the dataclass `asks`. Problem 422 names every field that is wrong."""
    from cattrs import BaseValidationError, transform_error

    if not isinstance(data, dict):
        raise Problem(422, "wrong question", f"the body is {type(data).__name__}; send a JSON object")
    try:
        return _converter().structure(data, asks)
    except BaseValidationError as error:
        raise Problem(422, "wrong question", "; ".join(transform_error(error, format_exception=worded))) from None
    except (ValueError, TypeError, KeyError) as error:
        raise Problem(422, "wrong question", str(error)) from None


def worded(error: BaseException, kind: Any) -> str:
    """The error's own words where it has some that help."""
    from cattrs.v import format_exception

    words = format_exception(error, kind)
    return str(error) if type(error) is ValueError or words.startswith("unknown error") else words
