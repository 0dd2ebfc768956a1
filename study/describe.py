"""A config in words: a line a stage, and a short form for a line of progress."""

from __future__ import annotations

from gifd_ops.config import AttackConfig
from gifd_ops.stages import EvolutionStage, FeatureStage, PixelStage, Radius, Stage


def describe_config(config: AttackConfig) -> list[str]:
    """A line for every stage, and one for what they share."""
    shared = f"restarts {config.restarts}, tv_weight {config.tv_weight:.2g}, {config.distance} distance"
    if config.group_weight > 0:
        shared += f", group_weight {config.group_weight:.2g}"
    if config.answer is not None:
        shared += f", {config.answer.how} {config.answer.defense} (strength {config.answer.strength:.2g})"
    if config.simulated_steps is not None:
        shared += f", {config.simulated_steps} local steps simulated"
    return [*(_stage_line(stage) for stage in config.stages), shared]


def brief_config(config: AttackConfig) -> str:
    """What tells configs apart at a glance: layers or kinds, and learning rates from first to last."""
    if all(isinstance(stage, FeatureStage) for stage in config.stages):
        what = "layers " + "-".join(str(stage.layer) for stage in config.stages)
    else:
        what = ", then ".join(stage.kind for stage in config.stages)
    rates = [f"{stage.lr:.2g}" for stage in config.stages if stage.lr is not None]
    return f"{what}, lr {' -> '.join(dict.fromkeys((rates[0], rates[-1])))}" if rates else what


def _stage_line(stage: Stage) -> str:
    if isinstance(stage, EvolutionStage):
        slots = "a latent for every slot" if stage.own_slots else "one latent for all slots"
        return (
            f"evolution: {stage.steps} latents in populations of {stage.population}, sigma {stage.sigma:.2g}, {slots}"
        )
    line = f"{stage.steps:3} steps, lr {stage.lr:.3g}"
    if isinstance(stage, FeatureStage):
        radii = (("feature", stage.feature_radius), ("latent", stage.latent_radius), ("noise", stage.noise_radius))
        l1 = ", ".join(f"{name} {_radius(radius)}" for name, radius in radii)
        return f"layer {stage.layer}: {line}, l1 {l1}" + ("" if stage.noises else ", noise maps held")
    return f"{stage.kind}: {line}" + (", by sign" if isinstance(stage, PixelStage) and stage.signed else "")


def _radius(radius: Radius | None) -> str:
    if radius is None:
        return "free"
    return f"{radius.value:.3g}" + (" x norm" if radius.relative else "")
