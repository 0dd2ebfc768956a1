"""How good is the embedded generator? Two numbers that the attack depends on.

    python -m benchmarks.generator_quality

1. Range: unseen photo portraits fitted directly in pixels, all layers free (mean PSNR, at least 24 dB).
2. Worth: the tuned attack on `lenet` with this generator against the same architecture untrained, on unseen photos
   (at least 2 dB).
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from gifd_ops.attack import run_attack
from gifd_ops.config import AttackConfig
from gifd_ops.generators.loading import build_generator, load_generator
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.gradients import observe
from gifd_ops.metrics import psnr_db
from gifd_ops.portraits import SEED_RANGES, draw
from gifd_ops.searches.features import search_features
from gifd_ops.seeds import derive_seed
from gifd_ops.stages import FeatureStage, Radius
from gifd_ops.tasks import PORTRAITS
from gifd_ops.victims import build_victim
from search_spaces.curves import geometric
from search_spaces.published import published_scaled


def free_stages(*, steps: int) -> tuple[FeatureStage, ...]:
    """All four layers in turn, no balls, learning rates falling from stage to stage."""
    rates = geometric(0.1, 0.01, PORTRAITS.generator_shape.num_layers)
    return tuple(
        FeatureStage(layer=layer, steps=steps, lr=lr, feature_radius=None, latent_radius=None, noise_radius=None)
        for layer, lr in enumerate(rates)
    )


def fit_in_pixels(generator: StyleGan2Generator, truth: Tensor, *, steps: int) -> Tensor:
    """PSNR [n] in dB of images searched with the pixels themselves as objective."""
    features = generator.start([derive_seed("fit", row) for row in range(len(truth))])
    for stage in free_stages(steps=steps):
        with torch.no_grad():
            features = generator.advance(features, to=stage.layer)
        end = search_features(features, generator, lambda images: (images - truth).square().mean(dim=(1, 2, 3)), stage)
        assert end.features is not None
        features = end.features
    with torch.no_grad():
        return psnr_db(generator.render(features).clamp(0, 1), truth)


def balled_config(budget: int) -> AttackConfig:
    """Falling learning rates and features held near their start."""
    free = free_stages(steps=budget // 4 - 1)
    ball = Radius(value=0.5, relative=True)
    stages = tuple(
        FeatureStage(
            layer=stage.layer,
            steps=stage.steps,
            lr=stage.lr,
            feature_radius=ball if stage.layer else None,
            latent_radius=None,
            noise_radius=ball,
        )
        for stage in free
    )
    return AttackConfig(stages=stages, restarts=1, tv_weight=1e-3, l2_weight=1e-6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16, help="unseen photos (default %(default)s)")
    parser.add_argument("--budget", type=int, default=120, help="gradient evaluations (default %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    seeds = SEED_RANGES["select"][: arguments.images]
    truth, labels = draw(seeds, domain="photo", size_px=PORTRAITS.size_px)
    trained = load_generator(PORTRAITS.checkpoint, size_px=PORTRAITS.size_px)
    untrained = build_generator(trained.network.config, size_px=PORTRAITS.size_px)
    fitted = fit_in_pixels(trained, truth, steps=100)
    print(f"range: {fitted.mean():.1f} dB mean, {fitted.min():.1f} dB worst over {len(truth)} photos, fitted in pixels")
    victim = build_victim(
        "lenet",
        seed=1,
        num_classes=PORTRAITS.num_classes,
        size_px=PORTRAITS.size_px,
        pixel_mean=PORTRAITS.pixel_mean,
        pixel_std=PORTRAITS.pixel_std,
    )
    observation = observe(victim, truth, labels)
    configs = {
        "published recipe": published_scaled(PORTRAITS.generator_shape, budget=arguments.budget),
        "falling lr, balls": balled_config(arguments.budget),
    }
    for name, config in configs.items():
        found = [
            psnr_db(run_attack(observation, generator, victim, config, seeds=seeds).best.images, truth).mean()
            for generator in (trained, untrained)
        ]
        print(f"worth, {name}: {found[0]:.1f} dB trained, {found[1]:.1f} dB untrained: {found[0] - found[1]:+.1f} dB")


if __name__ == "__main__":
    main()
