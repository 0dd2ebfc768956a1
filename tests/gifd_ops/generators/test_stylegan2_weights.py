"""Weights under the public names give the images of the public implementations (golden numbers, see the file)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gifd_ops.generators.loading import build_generator
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.generators.stylegan2_weights import convert_weights, lower_layers
from tests.gifd_ops.generators.formula import formula_values, formula_weights

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "stylegan2_public.json").read_text())
FAMILIES = ("stylegan2-pytorch", "stylegan2-ada-pytorch", "stylegan3")


def public_weights(family: str) -> dict[str, Tensor]:
    return formula_weights({name: tuple(shape) for name, shape in GOLDEN[family]["shapes"].items()})


def build(weights: dict[str, Tensor], **told: Any) -> StyleGan2Generator:
    config, ours = convert_weights(weights, **told)
    return build_generator(config, size_px=config.size_px, weights=ours)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_weights_give_the_image_of_the_public_implementation(family: str) -> None:
    golden = GOLDEN[family]
    generator = build(public_weights(family), clamp=golden["clamp"])
    network, config = generator.network, generator.network.config
    assert config.size_px == golden["size_px"]
    noises = [formula_values(1, 1, side, side, stream=1000 + i) for i, side in enumerate(config.noise_sizes_px)]
    mapped = network.mapping(formula_values(2, config.z_dim, stream=2000))
    latents = {
        "from_z": mapped[:, None].expand(-1, config.num_styles, -1),
        "from_w": formula_values(2, config.num_styles, config.w_dim, stream=2001),
    }
    for name, latent in latents.items():
        found = network.synthesis(latent, noises).flatten()[:: golden["stride"]]
        torch.testing.assert_close(found, torch.tensor(golden[name]), rtol=0, atol=1e-4)


def test_a_bound_on_features_changes_the_image() -> None:
    weights, latent = public_weights("stylegan3"), formula_values(1, 10, 16, stream=5)
    images = []
    for clamp in (None, GOLDEN["stylegan3"]["clamp"], 1e6):
        network = build(weights, clamp=clamp).network
        images.append(network.synthesis(latent, network.draw_noises(1, torch.Generator().manual_seed(0))))
    assert float((images[0] - images[1]).abs().max()) > 0.1
    assert torch.equal(images[0], images[2])


@pytest.mark.parametrize("family", FAMILIES[:2])
def test_stored_noise_means_and_filters_are_no_weights(family: str) -> None:
    weights = public_weights(family)
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    beside = {
        "stylegan2-pytorch": {
            "noises.noise_0": torch.zeros(1, 1, 4, 4),
            "convs.0.conv.blur.kernel": 4 * torch.outer(taps, taps),
        },
        "stylegan2-ada-pytorch": {
            "mapping.w_avg": torch.zeros(16),
            "synthesis.b8.resample_filter": torch.outer(taps, taps),
        },
    }[family]
    plain, more = convert_weights(weights), convert_weights({**weights, **beside})
    assert plain[0] == more[0]
    assert plain[1].keys() == more[1].keys()


def test_a_network_that_filters_otherwise_is_refused() -> None:
    weights = {**public_weights("stylegan2-pytorch"), "convs.0.conv.blur.kernel": torch.ones(4, 4)}
    with pytest.raises(ValueError, match=r"filter \[1, 3, 3, 1\], got another in convs.0.conv.blur.kernel"):
        convert_weights(weights)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"convs.0.noise.weight": None}, "convs.0.noise.weight is missing"),
        ({"to_rgbs.0.bias": torch.zeros(1, 4, 1, 1)}, r"to_rgbs.0.bias is \(1, 4, 1, 1\), not \(1, 3, 1, 1\)"),
        ({"final_linear.0.weight": torch.zeros(1)}, "final_linear.0.weight is not known"),
        ({"conv1.conv.weight": None}, "these hold conv1.activate.bias, conv1.conv.modulation.bias, "),
    ],
)
def test_weights_of_another_network_are_refused_by_name(changes: dict[str, Tensor | None], message: str) -> None:
    weights = {**public_weights("stylegan2-pytorch"), **changes}
    with pytest.raises(ValueError, match=message):
        convert_weights({name: value for name, value in weights.items() if value is not None})


def test_a_class_conditional_network_is_refused() -> None:
    weights = {**public_weights("stylegan2-ada-pytorch"), "mapping.embed.weight": torch.zeros(16, 10)}
    with pytest.raises(ValueError, match="conditional on classes"):
        convert_weights(weights)


def test_lower_layers_are_the_networks_own_skip_at_that_size() -> None:
    config, weights = convert_weights(public_weights("stylegan2-ada-pytorch"))
    whole = build_generator(config, size_px=16, weights=weights)
    lower, kept = lower_layers(config, weights, size_px=16)
    cheap = build_generator(lower, size_px=16, weights=kept)
    assert (lower.size_px, lower.num_styles) == (16, 6)
    start = whole.start([0, 1])
    stopped = whole.advance(start, to=3)
    below = replace(start, latent=start.latent[:, :6], noises=start.noises[:5])
    torch.testing.assert_close(2 * cheap.render(below) - 1, stopped.skip, rtol=0, atol=1e-5)
    assert float((cheap.render(below) - whole.render(start)).abs().max()) > 0.05  # an approximation
    with pytest.raises(ValueError, match=r"lower layers end at 4, 8, ... 64 px, got 24"):
        lower_layers(config, weights, size_px=24)
