from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gifd_ops.generators.stylegan2_network import (
    EqualLinear,
    ModulatedConv,
    StyledConv,
    StyleGan2,
    StyleGan2Config,
    fir_kernel,
    upsample_rgb,
)

ROWS, INPUTS, OUTPUTS, W_DIM, SIDE = 3, 5, 4, 6, 7
CONFIG = StyleGan2Config(channels=(8, 8, 4), z_dim=8, w_dim=8, mapping_layers=2)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def filtered(images: Tensor, before: int, after: int, gain: float) -> Tensor:
    """Each channel convolved (kernel flipped) with [1, 3, 3, 1] x [1, 3, 3, 1], term by term."""
    taps = [1 / 8, 3 / 8, 3 / 8, 1 / 8]
    padded = functional.pad(images, (before, after, before, after))
    height, width = padded.shape[2] - 3, padded.shape[3] - 3
    total = torch.zeros(*images.shape[:2], height, width, dtype=images.dtype)
    for (down, a), (right, b) in itertools.product(enumerate(reversed(taps)), repeat=2):
        total = total + gain * a * b * padded[:, :, down : down + height, right : right + width]
    return total


def zeros_inserted(images: Tensor) -> Tensor:
    """Twice as large: every pixel at the even places, zeros between."""
    spread = torch.zeros(*images.shape[:2], 2 * images.shape[2], 2 * images.shape[3], dtype=images.dtype)
    spread[:, :, ::2, ::2] = images
    return spread


def weights_per_sample(conv: ModulatedConv, features: Tensor, w: Tensor) -> Tensor:
    """Equations 1 and 3 of the StyleGAN2 paper to the letter: every sample is convolved with weights of its own."""
    size = conv.weight.shape[-1]
    rows = []
    for values, style in zip(features, conv.style(w), strict=True):
        weight = conv.weight * conv.scale * style[None, :, None, None]
        if conv.demodulate:
            weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if conv.upsample:
            # a transposed convolution is zero insertion and a convolution with the mirrored kernel
            spread = zeros_inserted(values[None])[:, :, :-1, :-1]
            grown = functional.conv2d(spread, weight.flip(2, 3), padding=size - 1)
            rows.append(filtered(grown, before=1, after=1, gain=4.0))
        else:
            rows.append(functional.conv2d(values[None], weight, padding=size // 2))
    return torch.cat(rows)


@pytest.mark.parametrize(("size", "upsample"), [(3, False), (3, True), (1, False)])
@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("baked", [True, False])
def test_shared_weights_are_the_per_sample_weights_of_the_paper(
    size: int, demodulate: bool, upsample: bool, baked: bool
) -> None:
    conv = ModulatedConv(INPUTS, OUTPUTS, size, W_DIM, demodulate=demodulate, upsample=upsample).double()
    if baked:
        conv.bake()
    features, w = normal(ROWS, INPUTS, SIDE, SIDE), normal(ROWS, W_DIM, seed=1)
    found = conv(features, w, fir_kernel().double())
    assert found.shape[2:] == ((2 * SIDE, 2 * SIDE) if upsample else (SIDE, SIDE))
    torch.testing.assert_close(found, weights_per_sample(conv, features, w), rtol=1e-10, atol=1e-12)


def test_demodulated_features_do_not_grow_with_the_style() -> None:
    conv = ModulatedConv(INPUTS, OUTPUTS, 3, W_DIM, demodulate=True, upsample=False).double()
    features, w, kernel = normal(ROWS, INPUTS, SIDE, SIDE), normal(ROWS, W_DIM, seed=1), fir_kernel().double()
    with torch.no_grad():
        before = conv(features, w, kernel)
        conv.style.weight *= 100
        conv.style.bias *= 100
        torch.testing.assert_close(conv(features, w, kernel), before, rtol=1e-5, atol=1e-6)


def test_rgb_is_upsampled_by_zero_insertion_and_the_filter() -> None:
    rgb = normal(2, 3, 5, 6)
    expected = filtered(zeros_inserted(rgb), before=2, after=1, gain=4.0)
    found = upsample_rgb(rgb, fir_kernel().double())
    assert found.shape == (2, 3, 10, 12)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_upsampling_keeps_the_color_of_a_flat_image() -> None:
    found = upsample_rgb(torch.full((1, 3, 8, 8), 0.7), fir_kernel())
    torch.testing.assert_close(found[:, :, 2:-2, 2:-2], torch.full((1, 3, 12, 12), 0.7))


def test_equalized_weights_are_scaled_when_they_are_used() -> None:
    layer = EqualLinear(16, 4, bias=2.0, lr_multiplier=0.01).double()
    values = normal(3, 16)
    expected = values @ (layer.weight * 0.01 / 4).T + 2.0 * 0.01
    torch.testing.assert_close(layer(values), expected)


def test_the_mapping_does_not_see_the_length_of_z() -> None:
    network = StyleGan2(CONFIG).double()
    z = normal(5, 8)
    network.requires_grad_(False)
    torch.testing.assert_close(network.mapping(7 * z), network.mapping(z), rtol=1e-6, atol=1e-9)
    assert float((network.mapping(-z) - network.mapping(z)).abs().max()) > 1e-3


def test_baking_changes_neither_images_nor_gradients() -> None:
    network = StyleGan2(CONFIG).double().requires_grad_(False)
    latent = normal(2, CONFIG.num_styles, 8).requires_grad_()
    noises = network.draw_noises(2, torch.Generator().manual_seed(0))

    def images_and_gradient() -> tuple[Tensor, Tensor]:
        images = network.synthesis(latent, noises)
        return images, torch.autograd.grad(images.square().sum(), latent)[0]

    unbaked = images_and_gradient()
    network.synthesis.bake()
    assert all(conv.baked is not None for conv in network.modules() if isinstance(conv, ModulatedConv))
    for before, after in zip(unbaked, images_and_gradient(), strict=True):
        torch.testing.assert_close(after, before, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("blocks", "size_px", "styles", "noise_sizes_px"),
    [(1, 4, 2, (4,)), (2, 8, 4, (4, 8, 8)), (4, 32, 8, (4, 8, 8, 16, 16, 32, 32))],
)
def test_sizes_follow_from_the_number_of_blocks(
    blocks: int, size_px: int, styles: int, noise_sizes_px: tuple[int, ...]
) -> None:
    config = StyleGan2Config(channels=(4,) * blocks, z_dim=4, w_dim=4, mapping_layers=1)
    assert (config.size_px, config.num_styles, config.noise_sizes_px) == (size_px, styles, noise_sizes_px)
    network = StyleGan2(config)
    noises = network.draw_noises(2)
    assert [noise.shape for noise in noises] == [(2, 1, side, side) for side in noise_sizes_px]
    assert network.synthesis(torch.randn(2, styles, 4), noises).shape == (2, 3, size_px, size_px)


@pytest.mark.parametrize(
    ("block", "of_features", "of_color", "maps"),
    [(0, {0}, {0, 1}, {0}), (1, {1, 2}, {1, 2, 3}, {1, 2}), (2, {3, 4}, {3, 4, 5}, {3, 4})],
)
def test_a_block_reads_its_own_style_slots_and_noise_maps(
    block: int, of_features: set[int], of_color: set[int], maps: set[int]
) -> None:
    network = StyleGan2(CONFIG).double().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, StyledConv):
            module.noise_gain.fill_(0.3)
    latent = normal(1, CONFIG.num_styles, 8).requires_grad_()
    noises = [noise.double().requires_grad_() for noise in network.draw_noises(1, torch.Generator().manual_seed(0))]
    hidden = None if block == 0 else normal(1, 8, 2 * 2**block, 2 * 2**block)
    features, color = network.synthesis.block(block, hidden, None, latent, noises)

    def slots_read(output: Tensor) -> set[int]:
        (gradient,) = torch.autograd.grad(output.square().sum(), latent, retain_graph=True)
        return set(gradient[0].abs().amax(dim=1).nonzero().flatten().tolist())

    assert slots_read(features) == of_features
    assert slots_read(color) == of_color
    read = torch.autograd.grad(color.square().sum(), noises, allow_unused=True)
    assert {index for index, gradient in enumerate(read) if gradient is not None} == maps
