"""What an attack is told: stages, schedule, loss weights. Standard library only, so that a driver needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any


@dataclass(frozen=True, kw_only=True)
class GeneratorShape:
    """What a search must know of a generator: how much there is to optimize at each layer.

    feature_scalars[l]: scalars of the features entering layer l; layer 0 has none, its stage searches the latent.
    latent_scalars: scalars of the latent, over all style slots.
    """

    feature_scalars: tuple[int, ...]
    latent_scalars: int

    @property
    def num_layers(self) -> int:
        """Layers at which a stage can start."""
        return len(self.feature_scalars)


@dataclass(frozen=True, kw_only=True)
class Radius:
    """The radius of an l1 ball around the value that a variable has when its stage starts.

    relative=False: `value` is the l1 norm allowed, as published. relative=True: it is a multiple of the l1 norm of the
    starting value, which means the same for generators of any width.
    """

    value: float
    relative: bool

    def __post_init__(self) -> None:
        if not self.value > 0:
            raise ValueError(f"an l1 radius must be > 0, got {self.value}; use None to search without a ball")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One leg of the search: optimize the features that enter generator layer `layer`, latents and noises with them.

    It costs `steps` updates and one further evaluation that scores its image.
    """

    layer: int
    steps: int
    lr: float
    feature_radius: Radius | None
    latent_radius: Radius | None
    noise_radius: Radius | None

    def __post_init__(self) -> None:
        if self.layer < 0:
            raise ValueError(f"a stage starts at layer 0 or above, got layer {self.layer}")
        if self.steps < 1:
            raise ValueError(f"the stage at layer {self.layer} needs steps >= 1, got {self.steps}; leave the stage out")
        if not self.lr > 0:
            raise ValueError(f"the stage at layer {self.layer} needs lr > 0, got {self.lr}")

    @property
    def gradient_evaluations(self) -> int:
        return self.steps + 1


@dataclass(frozen=True, kw_only=True)
class AttackConfig:
    """All that the attacker chooses: a schedule of stages, how many restarts, the weights of the image priors."""

    stages: tuple[Stage, ...]
    restarts: int
    tv_weight: float
    l2_weight: float

    def __post_init__(self) -> None:
        if not self.stages:
            raise ValueError("an attack needs at least one stage, got none")
        for before, after in pairwise(self.stages):
            if after.layer <= before.layer:
                raise ValueError(
                    f"stages go forward through the generator, got layer {after.layer} after layer {before.layer}; "
                    "sort the stages and give each layer once"
                )
        if self.restarts < 1:
            raise ValueError(f"an attack needs restarts >= 1, got {self.restarts}")
        for name in ("tv_weight", "l2_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")

    @property
    def gradient_evaluations(self) -> int:
        """Victim gradients computed per target, scoring included: the budget this config spends."""
        return self.restarts * sum(stage.gradient_evaluations for stage in self.stages)

    def check_fits(self, shape: GeneratorShape) -> None:
        """Raise ValueError if the schedule runs past the generator's last layer."""
        last = self.stages[-1].layer
        if last >= shape.num_layers:
            raise ValueError(
                f"a stage at layer {last} needs a generator with more layers: this one has layers 0 to "
                f"{shape.num_layers - 1}"
            )

    def to_dict(self) -> dict[str, Any]:
        """A nest of plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AttackConfig:
        """The config that `to_dict` wrote."""

        def radius(entry: Mapping[str, Any] | None) -> Radius | None:
            return None if entry is None else Radius(value=entry["value"], relative=entry["relative"])

        stages = tuple(
            Stage(
                layer=entry["layer"],
                steps=entry["steps"],
                lr=entry["lr"],
                feature_radius=radius(entry["feature_radius"]),
                latent_radius=radius(entry["latent_radius"]),
                noise_radius=radius(entry["noise_radius"]),
            )
            for entry in values["stages"]
        )
        return cls(
            stages=stages,
            restarts=values["restarts"],
            tv_weight=values["tv_weight"],
            l2_weight=values["l2_weight"],
        )
