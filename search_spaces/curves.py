"""A schedule from few numbers: values that run geometrically from the first stage to the last."""

from __future__ import annotations

from collections.abc import Sequence


def geometric(first: float, last: float, count: int) -> list[float]:
    """`count` values from `first` to `last`, each the same multiple of the one before; [first] if there is one."""
    if count == 1:
        return [first]
    return [first * (last / first) ** (index / (count - 1)) for index in range(count)]


def apportion(total: int, weights: Sequence[float], *, least: int) -> list[int]:
    """`total` in whole parts as near as can be to the weights, `least` or more each (largest remainders).

    Raises ValueError if `total` is too small for that.
    """
    free = total - least * len(weights)
    if free < 0:
        raise ValueError(f"{len(weights)} stages need a budget >= {least * len(weights)} each restart, got {total}")
    exact = [free * weight / sum(weights) for weight in weights]
    parts = [int(part) for part in exact]
    by_remainder = sorted(range(len(parts)), key=lambda index: parts[index] - exact[index])
    for index in by_remainder[: free - sum(parts)]:
        parts[index] += 1
    return [least + part for part in parts]


def split_evenly(total: int, parts: int) -> list[int]:
    """`total` in whole parts that differ by one at most, the larger first."""
    return [total // parts + (index < total % parts) for index in range(parts)]


def even_restarts(budget: int, *, enough: int) -> tuple[int, ...]:
    """Numbers of restarts up to four that divide the budget and leave each restart `enough` of it; one always."""
    return (1, *(count for count in (2, 3, 4) if budget % count == 0 and budget // count >= enough))
