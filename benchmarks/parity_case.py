"""What the authors' code and ours are both given when they are compared, and how ours runs it.

Two cases: one drawn from seeds, of any size; and a tiny one filled by formulae, the same on every machine, whose
results under the authors' code are kept in tests/gifd_ops/golden.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gifd_ops.attack import run_attack
from gifd_ops.config import AttackConfig
from gifd_ops.generators.protocol import Features
from gifd_ops.generators.stylegan2 import FIT_SAMPLES, StyleGan2Generator
from gifd_ops.generators.stylegan2_network import StyleGan2, StyleGan2Config
from gifd_ops.gradients import observe
from gifd_ops.portraits import draw
from gifd_ops.quirks import REFERENCE
from gifd_ops.stages import FeatureStage, Radius
from gifd_ops.victims import Victim, build_victim

NUM_CLASSES = 10
CIFAR10_MEAN = (0.4914672374725342, 0.4822617471218109, 0.4467701315879822)
CIFAR10_STD = (0.24703224003314972, 0.24348513782024384, 0.26158785820007324)
PORTRAIT = 14  # seed of the image
NOISE_GAIN = 0.3  # not zero, so that noise maps matter


class GivenStart(StyleGan2Generator):
    """A generator whose rows start from given latents `z` [rows, slots, dim] and one set of noise maps [1, 1, h, w]."""

    def __init__(self, network: StyleGan2, *, size_px: int, z: Tensor, noises: Sequence[Tensor]) -> None:
        super().__init__(network, size_px=size_px)
        self.z, self.noises = z, tuple(noises)

    def start(self, seeds: Sequence[int], labels: Tensor | None = None) -> Features:
        rows = len(seeds)
        assert rows <= len(self.z), f"{len(self.z)} starts were given, {rows} are asked for"
        noises = tuple(noise.expand(rows, -1, -1, -1) for noise in self.noises)
        start = Features(layer=0, hidden=None, skip=None, condition=None, latent=self.z[:rows], noises=noises)
        return self.place(start, self.z[:rows])


@dataclass(frozen=True, kw_only=True)
class Case:
    """One image to be found. All tensors and weights have one dtype.

    fit_z: standard normal inputs [n, z_dim] of the mapping network, from which the latents' distribution is fitted.
    """

    generator: GivenStart
    victim: Victim
    image: Tensor  # [1, 3, h, w] in [0, 1]
    label: Tensor  # [1] int64
    config: AttackConfig
    fit_z: Tensor

    @property
    def size_px(self) -> int:
        return self.image.shape[-1]

    @property
    def dtype(self) -> torch.dtype:
        return self.image.dtype

    @property
    def stages(self) -> tuple[FeatureStage, ...]:
        """The schedule, all of whose stages search features."""
        return tuple(stage for stage in self.config.stages if isinstance(stage, FeatureStage))

    @property
    def num_updates(self) -> int:
        """Updates of one row in all stages."""
        return sum(stage.steps for stage in self.stages)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an attack came to, in the terms of both implementations."""

    seconds: float  # of the attack alone
    label: int
    losses: tuple[Tensor, ...]  # per stage [restarts, steps], the loss before each update
    scores: Tensor  # [stages, restarts], matching losses of the stages' images
    stage: int  # that is kept
    score: float  # reported for it
    image: Tensor  # [3, h, w] in [0, 1], reported for it


def run_ours(case: Case) -> Outcome:
    """The case under our implementation, with the quirks that its config names."""
    observation = observe(case.victim, case.image, case.label)
    begin = time.perf_counter()
    result = run_attack(observation, case.generator, case.victim, case.config, seeds=[0])
    seconds = time.perf_counter() - begin
    best = result.best
    return Outcome(
        seconds=seconds,
        label=int(result.labels),
        losses=tuple(stage.loss_trace[0] for stage in result.stages),
        scores=torch.cat([stage.matching_loss for stage in result.stages]),
        stage=int(best.stage),
        score=float(best.matching_loss),
        image=best.images[0],
    )


def reference_config(*, steps: int, restarts: int, radii: Sequence[float]) -> AttackConfig:
    """The authors' settings of GIFD with StyleGAN2: a stage for each radius, the same for features, latents and noises.

    As published but for the numbers of steps and restarts and for the radii, which are made for 1024 px there.
    """
    balls = [Radius(value=radius, relative=False) for radius in radii]
    stages = tuple(
        FeatureStage(layer=layer, steps=steps, lr=0.1, feature_radius=ball, latent_radius=ball, noise_radius=ball)
        for layer, ball in enumerate(balls)
    )
    return AttackConfig(stages=stages, restarts=restarts, tv_weight=1e-4, l2_weight=1e-6, quirks=REFERENCE)


def drawn_case(
    *, channels: tuple[int, ...], size_px: int, steps: int, restarts: int, starts: int, dtype: torch.dtype, seed: int
) -> Case:
    """A case of any size with untrained networks, a ResNet18 for CIFAR as victim and a painted portrait as image.

    starts: how many latents are drawn, at least `restarts`. Stages start at every layer but the last, as the authors'
    do. The portrait is drawn at 32 px and enlarged.
    """
    sizes = StyleGan2Config(channels=channels, z_dim=channels[0], w_dim=channels[0], mapping_layers=4)
    stream = torch.Generator().manual_seed(seed)
    network = _drawn_network(sizes, seed, stream).to(dtype)
    z = torch.randn(starts, sizes.num_styles, sizes.w_dim, generator=stream).to(dtype)
    noises = [torch.randn(1, 1, side, side, generator=stream).to(dtype) for side in sizes.noise_sizes_px]
    image, label = draw([PORTRAIT], domain="photo", size_px=32)
    image = functional.interpolate(image.to(dtype), size=(size_px, size_px), mode="bilinear")
    layers = sizes.num_blocks - 1
    victim = build_victim(
        "resnet18",
        seed=seed,
        num_classes=NUM_CLASSES,
        size_px=size_px,
        pixel_mean=CIFAR10_MEAN,
        pixel_std=CIFAR10_STD,
    )
    return Case(
        generator=GivenStart(network, size_px=size_px, z=z, noises=noises),
        victim=victim.to(dtype),
        image=image,
        label=label,
        config=reference_config(steps=steps, restarts=restarts, radii=[20.0 * 2**layer for layer in range(layers)]),
        fit_z=torch.randn(FIT_SAMPLES, sizes.z_dim, generator=torch.Generator().manual_seed(0)).to(dtype),
    )


def _drawn_network(sizes: StyleGan2Config, seed: int, stream: torch.Generator) -> StyleGan2:
    """Untrained, but with noise gains and biases that are not zero, as in any trained generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = StyleGan2(sizes)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("noise_gain"):
                parameter.fill_(NOISE_GAIN)
            elif name.endswith("bias"):
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=stream))
    return network


def waves(*shape: int, phase: float) -> Tensor:
    """Numbers of mean about 0 and variance about 1: sqrt(2) sin(0.7 (i + 1)^2 + phase) for the i-th, float64.

    The square is there since matrices of plain sines have rank 2.
    """
    count = torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)
    return (math.sqrt(2) * torch.sin(0.7 * count.square() + phase)).view(shape)


def golden_case() -> Case:
    """A tiny case without a single random number, in float64.

    All its balls hold something back, and it begins where neither the last stage nor the last restart is the best, so
    that every quirk shows in what comes of it.
    """
    sizes = StyleGan2Config(channels=(8, 8, 4), z_dim=8, w_dim=8, mapping_layers=2)
    phases = itertools.count(18)
    network = StyleGan2(sizes).double()
    for name, parameter in network.named_parameters():
        _fill(name, parameter, waves(*parameter.shape, phase=next(phases)))
    victim = build_victim(
        "lenet",
        seed=0,
        num_classes=NUM_CLASSES,
        size_px=sizes.size_px,
        pixel_mean=CIFAR10_MEAN,
        pixel_std=CIFAR10_STD,
    )
    victim = victim.double()
    for parameter in victim.parameters():
        parameter.copy_(0.3 * waves(*parameter.shape, phase=next(phases)))
    z = waves(2, sizes.num_styles, sizes.w_dim, phase=next(phases))
    noises = [waves(1, 1, side, side, phase=next(phases)) for side in sizes.noise_sizes_px]
    generator = GivenStart(network, size_px=sizes.size_px, z=z, noises=noises)
    fit_z = waves(64, sizes.z_dim, phase=next(phases))
    with torch.no_grad():
        before = functional.leaky_relu(network.mapping(fit_z), 5.0)
    generator.latent_mean, generator.latent_std = before.mean(dim=0), before.std(dim=0)
    rows, columns = torch.arange(sizes.size_px, dtype=torch.float64)[:, None], torch.arange(sizes.size_px)
    image = torch.stack([0.5 + 0.4 * torch.sin(0.4 * rows + 0.3 * channel * columns) for channel in (1, 2, 3)])
    return Case(
        generator=generator,
        victim=victim,
        image=image[None],
        label=torch.tensor([3]),
        config=reference_config(steps=6, restarts=2, radii=(2.0, 4.0, 2.0)),
        fit_z=fit_z,
    )


@torch.no_grad()
def _fill(name: str, parameter: Tensor, values: Tensor) -> None:
    """Set a generator's parameter to numbers of variance 1, scaled to what an untrained one has, biases not zero."""
    if name.endswith("noise_gain"):
        parameter.fill_(NOISE_GAIN)
    elif name.endswith("bias"):
        parameter.add_(0.1 * values)
    elif name.startswith("mapping"):
        parameter.copy_(values / 0.01)
    else:
        parameter.copy_(values)
