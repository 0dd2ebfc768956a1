"""Small stand-ins: an untrained 16 px generator whose noise maps matter, victims, and the embedded generator."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from gifd_ops.generators.loading import build_generator, load_generator
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.generators.stylegan2_network import StyleGan2, StyleGan2Config
from gifd_ops.tasks import PORTRAITS
from gifd_ops.victims import Victim, build_victim

TINY = StyleGan2Config(channels=(8, 8, 4), z_dim=8, w_dim=8, mapping_layers=2)


def tiny_weights(config: StyleGan2Config) -> dict[str, torch.Tensor]:
    """Untrained weights, but with noise gains and biases that are not zero, as in any trained generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        weights = StyleGan2(config).state_dict()
        for name, value in weights.items():
            if name.endswith("noise_gain"):
                weights[name] = torch.full_like(value, 0.3)
            elif name.endswith("bias"):
                weights[name] = value + 0.1 * torch.randn_like(value)
    return weights


@pytest.fixture(scope="session")
def make_generator() -> Callable[..., StyleGan2Generator]:
    def make(
        *, config: StyleGan2Config = TINY, size_px: int | None = None, dtype: torch.dtype = torch.float64
    ) -> StyleGan2Generator:
        return build_generator(config, size_px=size_px or config.size_px, weights=tiny_weights(config), dtype=dtype)

    return make


@pytest.fixture(scope="session")
def make_victim() -> Callable[..., Victim]:
    def make(
        name: str = "lenet",
        *,
        seed: int = 0,
        size_px: int = 16,
        dtype: torch.dtype = torch.float64,
        num_classes: int = 10,
    ) -> Victim:
        victim = build_victim(name, seed=seed, num_classes=num_classes, size_px=size_px, pixel_mean=0.5, pixel_std=0.25)
        return victim.to(dtype)

    return make


@pytest.fixture(scope="session")
def tiny_generator(make_generator: Callable[..., StyleGan2Generator]) -> StyleGan2Generator:
    """16 px, 3 blocks, float64."""
    return make_generator()


@pytest.fixture(scope="session")
def lenet(make_victim: Callable[..., Victim]) -> Victim:
    """For 16 px, float64."""
    return make_victim("lenet")


@pytest.fixture(scope="session")
def portraits_generator() -> StyleGan2Generator:
    """The embedded checkpoint."""
    return load_generator(PORTRAITS.checkpoint, size_px=PORTRAITS.size_px)
