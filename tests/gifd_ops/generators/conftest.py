"""A BigGAN-deep of 16 px: three blocks and self-attention, whose statistics and biases matter as in a trained one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from gifd_ops.generators.biggan import BigGanGenerator, build_biggan, initialize_
from gifd_ops.generators.biggan_config import BigGanConfig
from gifd_ops.generators.biggan_network import BigGan


def lively_weights(config: BigGanConfig) -> dict[str, torch.Tensor]:
    """Untrained weights, but with statistics and biases that are not zero or one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = BigGan(config)
        initialize_(network)
        weights = network.state_dict()
        for name, value in weights.items():
            if name.endswith(("bias", "running_mean")):
                weights[name] = value + 0.2 * torch.randn_like(value)
            elif name.endswith("running_var"):
                weights[name] = 0.5 + torch.rand_like(value)
    return weights


@pytest.fixture(scope="session")
def biggan_config() -> BigGanConfig:
    return BigGanConfig(
        layers=((True, 4, 4), (False, 4, 2), (True, 2, 1)),
        channel_width=4,
        z_dim=6,
        class_embed_dim=5,
        num_classes=10,
        attention_layer_position=2,
        eps=1e-4,
        num_statistics=5,
    )


@pytest.fixture(scope="session")
def make_biggan(biggan_config: BigGanConfig) -> Callable[..., BigGanGenerator]:
    def make(*, size_px: int = 16, dtype: torch.dtype = torch.float64) -> BigGanGenerator:
        return build_biggan(biggan_config, size_px=size_px, weights=lively_weights(biggan_config), dtype=dtype)

    return make


@pytest.fixture(scope="session")
def tiny_biggan(make_biggan: Callable[..., BigGanGenerator]) -> BigGanGenerator:
    """16 px, float64."""
    return make_biggan()
