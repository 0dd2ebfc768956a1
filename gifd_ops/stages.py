"""The kinds of stage that attacks are made of, told in plain values. Standard library only: a driver needs no torch.

GIFD is a row of feature stages; latent search is its first one alone; GIAS searches the latent, then the generator's
weights; GGL evolves the latent; IG and GI search pixels. `gifd_ops/searches` runs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal, get_args

Decay = Literal["ramp", "steps"]  # of the learning rate: GIFD's warm-up and cosine, or a tenth at 3/8, 5/8 and 7/8


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
class FeatureStage:
    """Optimize the features that enter generator layer `layer`, and what else the generator opens there.

    StyleGAN2 opens its latents and noise maps, BigGAN nothing (GIFD, Fang et al., ICCV 2023, algorithm 1). At layer 0
    there are no features: the stage searches the latent. It costs `steps` updates and one further evaluation that
    scores its image. noises=False leaves the noise maps as they were drawn.
    """

    kind: ClassVar[str] = "features"

    layer: int
    steps: int
    lr: float
    feature_radius: Radius | None
    latent_radius: Radius | None
    noise_radius: Radius | None
    noises: bool = True
    decay: Decay = "ramp"

    def __post_init__(self) -> None:
        if self.layer < 0:
            raise ValueError(f"a stage starts at layer 0 or above, got layer {self.layer}")
        _check_descent(self.steps, self.lr, self.decay, f"the stage at layer {self.layer}")

    @property
    def gradient_evaluations(self) -> int:
        return self.steps + 1


@dataclass(frozen=True, kw_only=True)
class WeightStage:
    """Optimize the generator's weights, a copy for every row, what feeds them held (GIAS, Jeon et al., NeurIPS 2021).

    After a stage at layer l these are the weights from there on. Every restart goes on from its own latent, where the
    authors copy the best one to all restarts, which then do the same work.
    """

    kind: ClassVar[str] = "weights"
    layer: ClassVar[None] = None

    steps: int
    lr: float
    decay: Decay = "steps"

    def __post_init__(self) -> None:
        _check_descent(self.steps, self.lr, self.decay, "the stage that searches weights")

    @property
    def gradient_evaluations(self) -> int:
        return self.steps + 1


@dataclass(frozen=True, kw_only=True)
class PixelStage:
    """Optimize pixels from noise, without a generator (IG, Geiping et al., NeurIPS 2020; GI, Yin et al., CVPR 2021).

    lr is in units of the victim's normalized pixels. signed=True: Adam sees the gradient's signs only (IG as released).
    """

    kind: ClassVar[str] = "pixels"
    layer: ClassVar[None] = None

    steps: int
    lr: float
    signed: bool
    decay: Decay = "steps"

    def __post_init__(self) -> None:
        _check_descent(self.steps, self.lr, self.decay, "the stage that searches pixels")

    @property
    def gradient_evaluations(self) -> int:
        return self.steps + 1


@dataclass(frozen=True, kw_only=True)
class EvolutionStage:
    """Evolve the latent by CMA-ES, no gradient of the loss needed (GGL, Li et al., CVPR 2022).

    steps: latents evaluated; a last generation that is not whole is looked at, not learned from. sigma: first step
    size, where the latents' prior has standard deviation 1. own_slots: every style slot has a latent of its own, else
    all share one. full_covariance: learn all covariances, else the variances alone (Ros and Hansen, 2008). kl_weight:
    of GGL's divergence of a latent's numbers from the standard normal.
    """

    kind: ClassVar[str] = "evolution"
    layer: ClassVar[int] = 0
    lr: ClassVar[None] = None

    steps: int
    population: int
    sigma: float
    own_slots: bool
    full_covariance: bool
    kl_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.population < 4 or self.steps < self.population:
            raise ValueError(
                f"evolution needs a population >= 4 and steps for one generation, got a population of "
                f"{self.population} and {self.steps} steps; raise the budget, or lower restarts"
            )
        if not self.sigma > 0:
            raise ValueError(f"evolution needs a first step size sigma > 0, got {self.sigma}")
        if not self.kl_weight >= 0:
            raise ValueError(f"evolution needs kl_weight >= 0, got {self.kl_weight}")

    @property
    def gradient_evaluations(self) -> int:
        return self.steps + 1


Stage = FeatureStage | WeightStage | PixelStage | EvolutionStage
KINDS: dict[str, type[Stage]] = {cls.kind: cls for cls in (FeatureStage, WeightStage, PixelStage, EvolutionStage)}


def stage_to_dict(stage: Stage) -> dict[str, Any]:
    """A nest of plain values, for JSON."""
    return {"kind": stage.kind} | asdict(stage)


def stage_from_dict(values: Mapping[str, Any]) -> Stage:
    """The stage that `stage_to_dict` wrote."""
    cls = KINDS[values["kind"]]
    told = {field.name: values[field.name] for field in fields(cls) if field.name in values}
    for name, value in told.items():
        if name.endswith("_radius") and value is not None:
            told[name] = Radius(value=value["value"], relative=value["relative"])
    return cls(**told)


def _check_descent(steps: int, lr: float, decay: Decay, name: str) -> None:
    if steps < 1:
        raise ValueError(f"{name} needs steps >= 1, got {steps}; leave the stage out")
    if not lr > 0:
        raise ValueError(f"{name} needs lr > 0, got {lr}")
    if decay not in get_args(Decay):
        raise ValueError(f"the learning rate of {name} decays by {' or '.join(get_args(Decay))}, got {decay!r}")
