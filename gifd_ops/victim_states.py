"""What a victim has seen before it is attacked. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MOST_EPOCHS = 1000


@dataclass(frozen=True)
class Untrained:
    """As it was initialized: what the literature attacks, and an upper bound of what leaks."""

    def __str__(self) -> str:
        return "untrained"


@dataclass(frozen=True)
class Trained:
    """Trained on portraits for so many epochs (`gifd_ops/training.py`)."""

    epochs: int

    def __post_init__(self) -> None:
        if not 1 <= self.epochs <= MOST_EPOCHS:
            raise ValueError(f"a victim is trained for 1 to {MOST_EPOCHS} epochs, got {self.epochs}; 0 is untrained")

    def __str__(self) -> str:
        return f"epochs={self.epochs}"


@dataclass(frozen=True)
class Weights:
    """Weights of a safetensors file, as `python -m gifd_ops.train_victim` writes them."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


VictimState = Untrained | Trained | Weights


def read_victim_state(text: str) -> VictimState:
    """`untrained`, `epochs=K` or a file; ValueError with what may be said."""
    told = text.strip()
    if told == "untrained":
        return Untrained()
    if told.startswith("epochs="):
        number = told.removeprefix("epochs=")
        if not number.lstrip("-").isdigit():
            raise ValueError(f"epochs are a whole number, got {number!r}; say epochs=3")
        return Trained(int(number))
    path = Path(told)
    if not path.is_file():
        raise ValueError(f"a victim's state is untrained, epochs=K or a safetensors file; there is no file {told!r}")
    return Weights(path)
