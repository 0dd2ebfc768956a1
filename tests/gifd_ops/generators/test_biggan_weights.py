from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gifd_ops.generators.biggan import build_biggan
from gifd_ops.generators.biggan_config import BIGGAN_DEEP_128, BIGGAN_DEEP_256, BIGGAN_DEEP_512, BigGanConfig
from gifd_ops.generators.biggan_weights import bake_weights, public_shapes

# The package makes latents as large as class embeddings, and the first features 16 units wide.
PACKAGED = BigGanConfig(
    layers=((False, 16, 16), (True, 16, 8), (False, 8, 4), (True, 4, 2), (True, 2, 1)),
    channel_width=4,
    z_dim=8,
    class_embed_dim=8,
    num_classes=10,
    attention_layer_position=3,
    eps=1e-4,
    num_statistics=51,
)


def public_weights(config: BigGanConfig) -> dict[str, Tensor]:
    """Random weights under the public names, u and v being the leading singular vectors as after training.

    Statistics keep the features of the size of one: weights of spectral norm one make them smaller.
    """
    stream = torch.Generator().manual_seed(0)
    weights = {}
    for name, shape in public_shapes(config).items():
        value = torch.randn(*shape, generator=stream, dtype=torch.float64)
        if name.endswith("running_vars"):
            value = 0.4 * value.exp()
        elif name.endswith(("bias", "running_means")):
            value = 0.1 * value
        weights[name] = value
    for name in [name.removesuffix("_orig") for name in weights if name.endswith("_orig")]:
        u, _, v = torch.linalg.svd(weights[f"{name}_orig"].flatten(1), full_matrices=False)
        weights[f"{name}_u"], weights[f"{name}_v"] = u[:, 0], v[0]
    return weights


@pytest.fixture(scope="module")
def public() -> dict[str, Tensor]:
    return public_weights(PACKAGED)


@pytest.mark.parametrize(
    ("config", "millions"), [(BIGGAN_DEEP_128, 50.4), (BIGGAN_DEEP_256, 55.9), (BIGGAN_DEEP_512, 56.2)]
)
def test_the_published_models_have_as_many_weights_as_their_page_says(config: BigGanConfig, millions: float) -> None:
    learned = [
        shape
        for name, shape in public_shapes(config).items()
        if not name.endswith(("_u", "_v", "running_means", "running_vars"))
    ]
    assert round(sum(math.prod(shape) for shape in learned) / 1e6, 1) == millions


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("embeddings.weight", (128, 1000)),
        ("generator.gen_z.weight_orig", (16 * 2048, 256)),
        ("generator.gen_z.weight_u", (16 * 2048,)),
        ("generator.gen_z.weight_v", (256,)),
        ("generator.gen_z.bias", (16 * 2048,)),
        ("generator.layers.3.bn_0.running_means", (51, 2048)),
        ("generator.layers.3.bn_1.running_vars", (51, 512)),
        ("generator.layers.3.bn_3.scale.weight_orig", (512, 256)),
        ("generator.layers.3.conv_1.weight_v", (512 * 9,)),
        ("generator.layers.8.snconv1x1_theta.weight_orig", (32, 256, 1, 1)),
        ("generator.layers.8.gamma", (1,)),
        ("generator.bn.weight", (128,)),
        ("generator.conv_to_rgb.weight_orig", (128, 128, 3, 3)),
    ],
)
def test_public_names_are_those_of_the_package(name: str, shape: tuple[int, ...]) -> None:
    assert public_shapes(BIGGAN_DEEP_128)[name] == shape


def test_baked_weights_have_spectral_norm_one(public: dict[str, Tensor]) -> None:
    baked = bake_weights(public, PACKAGED)
    names = [name.removesuffix("_orig") for name in public if name.endswith("_orig")]
    assert len(names) == 1 + 5 * (4 + 2 * 4) + 4 + 1  # gen_z, five blocks, self-attention, colors
    for name in names:
        if name != "generator.conv_to_rgb.weight":  # of which a part is kept
            assert float(torch.linalg.matrix_norm(baked[name].flatten(1), ord=2)) == pytest.approx(1, rel=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_baking_is_what_pytorchs_spectral_norm_does_in_evaluation(
    dtype: torch.dtype, public: dict[str, Tensor]
) -> None:
    name = "generator.layers.1.conv_1"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = nn.utils.spectral_norm(nn.Conv2d(16, 16, 3, padding=1).to(dtype))
        layer(torch.randn(1, 16, 4, 4, dtype=dtype))  # one power iteration: u and v are far from converged
    layer.eval()(torch.zeros(1, 16, 4, 4, dtype=dtype))
    changed = {f"{name}.{part}": value for part, value in layer.state_dict().items()}
    found = bake_weights({**public, **changed}, PACKAGED)[f"{name}.weight"]
    assert found.dtype == dtype
    torch.testing.assert_close(found, layer.weight.detach(), rtol=1e-5 if dtype == torch.float32 else 1e-13, atol=0)


@pytest.mark.parametrize(
    ("truncation", "level"),
    [(1.0, 50), (0.5, 25), (0.02, 1), (0.505, 25.25), (0.58, 29), (0.999, 49.95), (0.01, 0.5)],
)
def test_statistics_between_two_levels_lie_nearer_to_the_nearer_level(
    truncation: float, level: float, public: dict[str, Tensor]
) -> None:
    # statistics that are their own level
    levels = torch.arange(51, dtype=torch.float64)[:, None]
    name = "generator.layers.0.bn_0.running_means"
    levelled = {**public, name: levels.expand(51, 64)}
    found = bake_weights(levelled, PACKAGED, truncation=truncation)["generator.layers.0.bn_0.running_mean"]
    torch.testing.assert_close(found, torch.full((64,), float(level), dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("truncation", [0.0, -0.1, 1.01, math.nan])
def test_a_truncation_without_statistics_is_refused(truncation: float, public: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match=rf"truncation must be in \(0, 1\], got {truncation}"):
        bake_weights(public, PACKAGED, truncation=truncation)


def test_weights_of_another_network_are_refused_by_name(public: dict[str, Tensor]) -> None:
    wrong = dict(public)
    del wrong["generator.gen_z.weight_u"]
    wrong["generator.bn.weight"] = torch.zeros(5)
    wrong["discriminator.bias"] = torch.zeros(3)
    with pytest.raises(ValueError, match="got 3 that disagree: ") as refusal:
        bake_weights(wrong, PACKAGED)
    for problem in (
        "generator.gen_z.weight_u is missing",
        "generator.bn.weight is (5,), not (4,)",
        "discriminator.bias is not known",
    ):
        assert problem in str(refusal.value)


def test_five_disagreements_are_named_however_many_there_are(public: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match=r"; \.\.\.; give the config") as refusal:
        bake_weights(public, replace(PACKAGED, channel_width=8))
    assert str(refusal.value).count(", not (") == 5


def package_model(config: BigGanConfig, weights: dict[str, Tensor]) -> Any:
    package = pytest.importorskip("pytorch_pretrained_biggan")
    sizes = asdict(config)
    told = {"n_stats": sizes.pop("num_statistics"), "output_dim": config.size_px, **sizes}
    model = package.BigGAN(package.BigGANConfig(**told)).to(weights["embeddings.weight"].dtype)
    model.load_state_dict(weights)  # strict: the names are all there and no others
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-11)])
@pytest.mark.parametrize(("truncation", "packages"), [(1.0, 1.0), (0.5, 0.5), (0.505, 0.515)])
def test_images_and_features_are_those_of_the_package(
    dtype: torch.dtype, tolerance: float, truncation: float, packages: float, public: dict[str, Tensor]
) -> None:
    # between levels the package swaps the two weights: at 0.515 it does what is right at 0.505
    weights = {name: value.to(dtype) for name, value in public.items()}
    model, features = package_model(PACKAGED, weights), []
    for layer in model.generator.layers:
        layer.register_forward_hook(lambda _, inputs, output: features.append(output))
    baked = bake_weights(weights, PACKAGED, truncation=truncation)
    ours = build_biggan(PACKAGED, size_px=PACKAGED.size_px, weights=baked, dtype=dtype)
    labels = torch.tensor([3, 0, 9])
    start = ours.start([1, 2, 3], labels)
    image = model(start.latent[:, 0], torch.eye(10, dtype=dtype)[labels], packages)
    assert float(image.std(dim=0).mean()) > 0.05
    torch.testing.assert_close(2 * ours.render(start) - 1, image, rtol=0, atol=tolerance)
    for layer, feature in enumerate(features, start=1):
        found = ours.advance(start, to=layer).hidden
        torch.testing.assert_close(found, feature, rtol=tolerance, atol=tolerance)
