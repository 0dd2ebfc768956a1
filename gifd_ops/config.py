"""What an attack is told: stages, loss weights, quirks. Standard library only, so that a driver needs no torch."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any, Literal

from gifd_ops.defenses.config import Answer
from gifd_ops.quirks import MENDED, Quirks
from gifd_ops.stages import EvolutionStage, FeatureStage, PixelStage, Stage, WeightStage, stage_from_dict, stage_to_dict


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
class AttackConfig:
    """All that the attacker chooses: a schedule of stages, how many restarts, the weights of the image priors.

    distance: between gradients while searching; stages and restarts are always chosen by the cosine distance over all
    shared tensors. group_weight: of the pull of a target's restarts towards their mean (R_group of Yin et
    al., CVPR 2021). statistics_weight: of the distance to the private batch's statistics, where the client shares them.
    matched_layers: first and end (excluded) of the victim's layers with parameters that are matched; None for all.
    patience: a restart stops its stage, not the attack, when its least loss has hardly fallen during this many steps; 0
    runs every stage to its end. Restarts that pull at one another are never stopped.
    answer: what is done about a defense, None for nothing; its strength is of the search, results are compared in full.
    simulated_steps: so many longer steps stand for a client's local training while searching; None for all of its own.
    Results are chosen with all.
    """

    stages: tuple[Stage, ...]
    restarts: int
    tv_weight: float
    l2_weight: float
    distance: Literal["cosine", "l2"] = "cosine"
    group_weight: float = 0.0
    statistics_weight: float = 0.0
    matched_layers: tuple[int, int] | None = None
    patience: int = 0
    quirks: Quirks = MENDED
    answer: Answer | None = None
    simulated_steps: int | None = None

    def __post_init__(self) -> None:
        self._check_order()
        if self.restarts < 1:
            raise ValueError(f"an attack needs restarts >= 1, got {self.restarts}")
        if self.distance not in ("cosine", "l2"):
            raise ValueError(f"gradients are compared by cosine or l2 distance, got {self.distance!r}")
        if self.simulated_steps is not None and self.simulated_steps < 1:
            raise ValueError(f"an attacker simulates 1 step or more, got {self.simulated_steps}; None simulates all")
        if self.patience < 0:
            raise ValueError(f"patience is a number of steps >= 0, got {self.patience}; 0 never stops")
        for name in ("tv_weight", "l2_weight", "group_weight", "statistics_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")
        alone = self.quirks.share_restart_noises or any(isinstance(stage, WeightStage) for stage in self.stages)
        if self.group_weight > 0 and alone and self.needs_generator:
            raise ValueError(
                f"group_weight must be 0 where restarts are searched one by one (weights, share_restart_noises), got "
                f"{self.group_weight}"
            )
        if self.matched_layers is not None and not 0 <= self.matched_layers[0] < self.matched_layers[1]:
            first, end = self.matched_layers
            raise ValueError(f"matched_layers needs 0 <= first < end, got {first}:{end}; None matches all layers")

    def _check_order(self) -> None:
        if not self.stages:
            raise ValueError("an attack needs at least one stage, got none")
        for before, after in pairwise(self.stages):
            if isinstance(before, PixelStage | WeightStage) or isinstance(after, PixelStage | EvolutionStage):
                raise ValueError(
                    f"a stage that searches {after.kind} cannot follow one that searches {before.kind}; evolution "
                    "comes first, weights come last, and pixels stand alone"
                )
            if isinstance(before, FeatureStage) and isinstance(after, FeatureStage) and after.layer <= before.layer:
                raise ValueError(
                    f"stages go forward through the generator, got layer {after.layer} after layer {before.layer}; "
                    "sort the stages and give each layer once"
                )

    @property
    def needs_generator(self) -> bool:
        """Whether any stage searches what a generator is made of or fed with."""
        return not isinstance(self.stages[0], PixelStage)

    @property
    def restarts_pull(self) -> bool:
        """Whether a target's restarts take notice of one another, so that none can be left out."""
        return self.group_weight > 0 and self.restarts > 1

    @property
    def fuse_key(self) -> Hashable | None:
        """What the rows of one batch must have in common: configs of one key may be fused. None: this one runs alone.

        Learning rates, their decay, steps, radii and the weights of tv and l2 are each row's own.
        """
        if self.restarts_pull or self.quirks.share_restart_noises:
            return None
        stages: list[Hashable] = []
        for stage in self.stages:
            if not isinstance(stage, FeatureStage | PixelStage):
                return None
            stages.append((stage.kind, stage.layer, stage.noises if isinstance(stage, FeatureStage) else stage.signed))
        matching = (self.distance, self.statistics_weight, self.matched_layers, self.answer, self.simulated_steps)
        alike = (*matching, self.patience, self.quirks)
        return (tuple(stages), self.restarts, *alike)

    @property
    def gradient_evaluations(self) -> int:
        """Victim gradients computed per target, scoring included: the most that this config spends.

        Rows that diverge or run out of patience spend less.
        """
        return self.restarts * sum(stage.gradient_evaluations for stage in self.stages)

    def check_fits(self, shape: GeneratorShape) -> None:
        """Raise ValueError if the schedule runs past the generator's last layer."""
        last = max((stage.layer for stage in self.stages if isinstance(stage, FeatureStage)), default=0)
        if last >= shape.num_layers:
            raise ValueError(
                f"a stage at layer {last} needs a generator with more layers: this one has layers 0 to "
                f"{shape.num_layers - 1}"
            )

    def to_dict(self) -> dict[str, Any]:
        """A nest of plain values, for JSON."""
        stages = [stage_to_dict(stage) for stage in self.stages]
        return asdict(self) | {"stages": stages, "answer": None if self.answer is None else self.answer.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AttackConfig:
        """The config that `to_dict` wrote."""
        told = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        told["stages"] = tuple(stage_from_dict(entry) for entry in values["stages"])
        if told.get("matched_layers") is not None:
            told["matched_layers"] = tuple(told["matched_layers"])
        if "quirks" in told:
            told["quirks"] = Quirks(**told["quirks"])
        if told.get("answer") is not None:
            told["answer"] = Answer.from_dict(told["answer"])
        return cls(**told)
