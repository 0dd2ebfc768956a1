"""Says how the names and shapes of a file differ from those that an architecture has."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

SHOWN = 5


def check_names_and_shapes(
    weights: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], *, rule: str, remedy: str
) -> None:
    """Raise ValueError with the first five disagreements, unless names and shapes are exactly the expected ones."""
    problems = [
        f"{name} is missing" if name not in weights else f"{name} is {tuple(weights[name].shape)}, not {shape}"
        for name, shape in expected.items()
        if name not in weights or tuple(weights[name].shape) != shape
    ]
    problems += [f"{name} is not known" for name in weights if name not in expected]
    if problems:
        shown = "; ".join(problems[:SHOWN]) + ("; ..." if len(problems) > SHOWN else "")
        raise ValueError(f"{rule}, got {len(problems)} that disagree: {shown}; {remedy}")
