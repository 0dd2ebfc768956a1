"""What a client does before it shares something. Standard library only, so that a driver needs no torch.

The server wrote the protocol, so an attacker knows it: it is part of the `Observation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, Self, get_args

Kind = Literal["gradient", "fedavg"]
VictimMode = Literal["eval", "train"]


@dataclass(frozen=True, kw_only=True)
class ClientProtocol:
    """How a client's batch becomes what it shares.

    kind: `gradient` shares the gradient of the mean cross-entropy over the batch. `fedavg` takes `local_steps` steps of
    plain SGD with rate `local_lr` (McMahan et al., AISTATS 2017) and shares the update divided by rate and steps,
    (w_0 - w_K) / (local_lr K): the mean gradient along the way, so one step on the whole batch is the gradient.
    local_batch_size: images of a step, None for all; steps go through the batch in its own order, again and again, and
    the last of an epoch has what is left. victim_mode: `train` normalizes by the mean and variance of the images of a
    step, `eval` by the running ones; the running ones are left as they are and are not shared.
    """

    kind: Kind = "gradient"
    local_steps: int = 1
    local_lr: float | None = None
    local_batch_size: int | None = None
    victim_mode: VictimMode = "eval"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"a client's protocol is one of {', '.join(get_args(Kind))}, got {self.kind!r}")
        if self.victim_mode not in get_args(VictimMode):
            raise ValueError(f"a victim's mode is {' or '.join(get_args(VictimMode))}, got {self.victim_mode!r}")
        if self.local_steps < 1:
            raise ValueError(f"a client takes local_steps >= 1, got {self.local_steps}")
        if self.local_batch_size is not None and self.local_batch_size < 1:
            raise ValueError(f"a local step needs local_batch_size >= 1, got {self.local_batch_size}; None takes all")
        if self.kind == "fedavg":
            if self.local_lr is None or not 0 < self.local_lr < float("inf"):
                raise ValueError(f"fedavg needs a finite local_lr > 0, got {self.local_lr}; give the clients' rate")
        elif (self.local_steps, self.local_lr, self.local_batch_size) != (1, None, None):
            raise ValueError(
                f"the protocol gradient has no local training, got local_steps {self.local_steps}, local_lr "
                f"{self.local_lr}, local_batch_size {self.local_batch_size}; use fedavg, or leave these out"
            )

    def check_fits(self, batch_size: int) -> None:
        """Raise ValueError if the local steps do not see every image of a batch: what is not seen is not shared."""
        if batch_size < 1:
            raise ValueError(f"a client needs a batch of 1 image or more, got {batch_size}")
        if self.local_batch_size is not None and self.local_batch_size > batch_size:
            raise ValueError(
                f"local_batch_size must be at most the client's {batch_size} images, got {self.local_batch_size}; "
                "use None to take all of them"
            )
        if self.local_steps < self.steps_per_epoch(batch_size):
            raise ValueError(
                f"{self.local_steps} local steps of {self.local_batch_size} images do not see all {batch_size} images "
                f"of the client; take {self.steps_per_epoch(batch_size)} steps or more"
            )

    def steps_per_epoch(self, batch_size: int) -> int:
        """Local steps in which every image is seen once."""
        return -(-batch_size // (self.local_batch_size or batch_size))

    def steps(self, batch_size: int) -> list[range]:
        """The places of the images of every local step, in order."""
        size = self.local_batch_size or batch_size
        epoch = [range(first, min(first + size, batch_size)) for first in range(0, batch_size, size)]
        return [epoch[step % len(epoch)] for step in range(self.local_steps)]

    @property
    def trains(self) -> bool:
        """Whether what is shared comes of weights that have changed on the way."""
        return self.local_steps > 1

    def coarser(self, steps: int) -> Self:
        """The same way in at most `steps` longer steps on the whole batch: what an attacker may simulate instead.

        One step is the gradient at the weights that the server sent, which costs no training at all.
        """
        if self.kind == "gradient" or steps >= self.local_steps:
            return self
        assert self.local_lr is not None
        longer = self.local_lr * self.local_steps / steps
        return replace(self, local_steps=steps, local_lr=longer, local_batch_size=None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The protocol that `to_dict` wrote."""
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})


SHARED_GRADIENT = ClientProtocol()
