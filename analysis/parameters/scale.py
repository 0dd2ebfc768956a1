"""How a searched parameter is laid out on an axis: what the plan says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scale:
    """A parameter's axis: logarithmic or not; a choice is a few values that are told apart, not measured."""

    log: bool
    choice: bool


def scales(plan: Mapping[str, Any]) -> dict[str, Scale]:
    """The scale of every parameter that the study's plan names."""
    return {
        name: Scale(log=entry["log"], choice=entry["options"] is not None) for name, entry in plan.get("parameters", [])
    }
