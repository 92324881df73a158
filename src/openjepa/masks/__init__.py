"""Which tokens are context and which are targets: config values called with (grid, seed, step, rows)."""


def check_grid(grid: tuple[int, ...]) -> None:
    """ValueError unless the grid has at least one axis and a whole, positive number of tokens along each."""
    if not grid or any(int(side) != side or side < 1 for side in grid):
        raise ValueError(f"grid is {grid}; it must hold the number of tokens along each axis, such as (14, 14)")


def check_span(name: str, span: tuple[float, float], most: float = float("inf")) -> None:
    """ValueError unless 0 < low <= high <= most and both are finite."""
    low, high = span
    if not (0 < low <= high <= most and high < float("inf")):
        limit = "" if most == float("inf") else f" <= {most:g}"
        raise ValueError(f"{name} is {span}; it must be (low, high) with 0 < low <= high{limit}")
