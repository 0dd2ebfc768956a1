"""What two studies have in common, and so what can be said of their settings together."""

from __future__ import annotations

from analysis.load import Results

EQUAL = ("metric", "budget")  # or a number of one means something else in the other
CIRCUMSTANCES = (  # under which settings were tuned; a config may be carried from one to another
    "task", "checkpoint_sha256", "method", "victim", "control", "labels", "matched_layers", "quirks",
)  # fmt: skip
TARGETS = ("seed", "pictures", "patience")  # which images, victims and starts: equal, or nothing can be paired
TUNED = ("space", "domains", "targets_per_domain", "steered_domains", "objective")


def carried(one: Results, other: Results) -> tuple[str, ...]:
    """The circumstances in which two studies differ; empty: their choices can be compared on the same test targets.

    Raises ValueError, naming what differs, where neither a comparison nor a transfer would be fair.
    """
    _refuse(one, other, EQUAL)
    differs = _different(one, other, CIRCUMSTANCES)
    if not differs:
        _refuse(one, other, TARGETS)
    return differs


def difference(one: Results, other: Results) -> str:
    """In words, how two studies differ in how they were tuned or in what was attacked: `victim: lenet / convnet`."""
    names = _different(one, other, (*CIRCUMSTANCES, *TUNED))
    parts = [f"{name}: {_short(one.plan.get(name))} / {_short(other.plan.get(name))}" for name in names]
    return "; ".join(parts) or "nothing that is known"


def _different(one: Results, other: Results, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if one.plan.get(name) != other.plan.get(name))


def _refuse(one: Results, other: Results, names: tuple[str, ...]) -> None:
    for name in _different(one, other, names):
        here, there = one.plan.get(name), other.plan.get(name)
        raise ValueError(
            f"studies are compared at equal {', '.join(names)}, but {name} is {_short(here)} in {one.path} and "
            f"{_short(there)} in {other.path}; run them with equal options"
        )


def _short(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
