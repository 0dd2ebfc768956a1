"""How a searched parameter is laid out on an axis."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_LOG_NAMES = ("lr_", "tv_weight")
_LOG_RATIO = 100.0
_MOST_CHOICES = 8


def is_choice(values: npt.NDArray[np.float64]) -> bool:
    """Whether a parameter takes few whole values: a choice, whose values are told apart, not laid on an axis."""
    distinct = np.unique(values)
    return distinct.size <= _MOST_CHOICES and bool((distinct == np.round(distinct)).all())


def is_log(name: str, values: npt.NDArray[np.float64]) -> bool:
    """Whether parameter `name` lives on a log axis: positive, and named like a rate or weight, or two decades wide."""
    if values.size == 0 or values.min() <= 0:
        return False
    return name.startswith(_LOG_NAMES) or bool(values.max() / values.min() > _LOG_RATIO)
