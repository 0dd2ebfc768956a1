from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from gifd_ops.generators.protocol import Features
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.generators.stylegan2_network import StyleGan2Config

LAYERS = 3  # of the tiny generator, which has maps of 4, 8, 8, 16, 16 px


def row_of(features: Features, row: int) -> Features:
    def cut(tensor: torch.Tensor | None) -> torch.Tensor | None:
        return None if tensor is None else tensor[row : row + 1]

    return replace(
        features,
        hidden=cut(features.hidden),
        skip=cut(features.skip),
        latent=features.latent[row : row + 1],
        noises=tuple(noise[row : row + 1] for noise in features.noises),
    )


@pytest.mark.parametrize("layer", range(LAYERS + 1))
def test_stopping_at_a_layer_does_not_change_the_image(tiny_generator: StyleGan2Generator, layer: int) -> None:
    start = tiny_generator.start([0, 1])
    expected = tiny_generator.render(start)
    stopped = tiny_generator.advance(start, to=layer)
    assert stopped.layer == layer
    torch.testing.assert_close(tiny_generator.render(stopped), expected, rtol=1e-12, atol=1e-12)


def test_the_colors_of_the_layers_below_are_carried(tiny_generator: StyleGan2Generator) -> None:
    stopped = tiny_generator.advance(tiny_generator.start([0]), to=2)
    assert stopped.skip is not None
    forgotten = replace(stopped, skip=None)
    assert float((tiny_generator.render(forgotten) - tiny_generator.render(stopped)).abs().max()) > 1e-2


def test_stopping_twice_is_stopping_once(tiny_generator: StyleGan2Generator) -> None:
    start = tiny_generator.start([3])
    once = tiny_generator.advance(start, to=2)
    twice = tiny_generator.advance(tiny_generator.advance(start, to=1), to=2)
    torch.testing.assert_close(twice.hidden, once.hidden, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(twice.skip, once.skip, rtol=1e-12, atol=1e-12)


def test_a_layer_behind_is_refused(tiny_generator: StyleGan2Generator) -> None:
    with pytest.raises(AssertionError, match="cannot go back"):
        tiny_generator.advance(tiny_generator.advance(tiny_generator.start([0]), to=2), to=1)


@pytest.mark.parametrize("layer", range(LAYERS))
def test_a_row_alone_is_the_row_in_a_batch(tiny_generator: StyleGan2Generator, layer: int) -> None:
    batch = tiny_generator.advance(tiny_generator.start([0, 1, 2, 3]), to=layer)
    images = tiny_generator.render(batch)
    for row in range(4):
        torch.testing.assert_close(tiny_generator.render(row_of(batch, row))[0], images[row], rtol=1e-12, atol=1e-12)


def test_a_start_depends_on_its_own_seed_only(tiny_generator: StyleGan2Generator) -> None:
    torch.manual_seed(0)
    together, alone = tiny_generator.start([5, 6, 2**62 + 1]), tiny_generator.start([6])
    assert torch.equal(together.latent[1:2], alone.latent)
    for batched, single in zip(together.noises, alone.noises, strict=True):
        assert torch.equal(batched[1:2], single)


def test_two_seeds_share_neither_latents_nor_noises(tiny_generator: StyleGan2Generator) -> None:
    start = tiny_generator.start([5, 6])
    for tensor in (start.latent, *start.noises):
        assert not bool((tensor[0] == tensor[1]).any())


def test_style_slots_and_noise_maps_are_drawn_apart(tiny_generator: StyleGan2Generator) -> None:
    start = tiny_generator.start([5])
    assert len(start.latent[0].unique(dim=0)) == tiny_generator.network.config.num_styles
    assert not bool((start.noises[1] == start.noises[2]).any())


def test_both_precisions_draw_the_same_start(make_generator: Callable[..., StyleGan2Generator]) -> None:
    double, single = make_generator().start([1, 2]), make_generator(dtype=torch.float32).start([1, 2])
    assert double.latent.dtype == torch.float64
    torch.testing.assert_close(single.latent.double(), double.latent, rtol=1e-4, atol=1e-4)
    for a, b in zip(double.noises, single.noises, strict=True):
        assert torch.equal(a.float(), b)


def test_initial_latents_are_spread_like_the_outputs_of_the_mapping(tiny_generator: StyleGan2Generator) -> None:
    latents = tiny_generator.start(range(1500)).latent.flatten(0, 1)  # every slot is a draw
    z = torch.randn(20_000, 8, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    before = functional.leaky_relu(tiny_generator.network.mapping(z), 5.0)  # undoes the slope of 0.2
    drawn = functional.leaky_relu(latents, 5.0)
    spread = before.std(dim=0)
    assert float(((drawn.mean(dim=0) - before.mean(dim=0)).abs() / spread).max()) < 0.06
    assert float((drawn.std(dim=0) / spread - 1).abs().max()) < 0.06


@pytest.mark.parametrize("layer", range(LAYERS))
def test_the_shape_counts_what_is_searched(tiny_generator: StyleGan2Generator, layer: int) -> None:
    features = tiny_generator.advance(tiny_generator.start([0]), to=layer)
    shape = tiny_generator.shape
    assert shape.num_layers == LAYERS
    assert shape.feature_scalars[layer] == (0 if features.hidden is None else features.hidden.numel())
    assert shape.latent_scalars == features.latent.numel()


@pytest.mark.parametrize(("layer", "first", "last"), [(0, 0, 4), (1, 1, 6), (2, 3, 8), (3, 5, 8)])
def test_noises_are_searched_by_the_published_rule(
    make_generator: Callable[..., StyleGan2Generator], layer: int, first: int, last: int
) -> None:
    # below 5 + 2 l, and only those that the remaining blocks use, from 2 l - 1; a 64 px network has nine maps
    config = StyleGan2Config(channels=(4,) * 5, z_dim=4, w_dim=4, mapping_layers=1)
    searched = make_generator(config=config).searched(layer)
    assert searched.noises == tuple(range(first, last + 1))
    assert (searched.hidden, searched.latent) == (layer > 0, True)


@pytest.mark.parametrize("layer", range(LAYERS))
def test_what_is_searched_moves_the_image_and_older_noises_do_not(
    tiny_generator: StyleGan2Generator, layer: int
) -> None:
    features = tiny_generator.advance(tiny_generator.start([0]), to=layer)
    noises = [noise.clone().requires_grad_() for noise in features.noises]
    images = tiny_generator.render(replace(features, noises=tuple(noises)))
    gradients = torch.autograd.grad(images.square().sum(), noises, allow_unused=True)
    moving = {index for index, gradient in enumerate(gradients) if gradient is not None and gradient.abs().max() > 0}
    assert set(tiny_generator.searched(layer).noises) == moving & set(range(5 + 2 * layer))


def test_images_are_average_pooled(make_generator: Callable[..., StyleGan2Generator]) -> None:
    native, small = make_generator(), make_generator(size_px=4)
    start = native.start([0, 1])
    assert small.render(start).shape == (2, 3, 4, 4)
    torch.testing.assert_close(small.render(start), functional.avg_pool2d(native.render(start), 4))


@pytest.mark.parametrize("size_px", [12, 32])
def test_a_size_that_is_no_divisor_is_refused(make_generator: Callable[..., StyleGan2Generator], size_px: int) -> None:
    with pytest.raises(ValueError, match=f"divisor of 16 only, got {size_px}"):
        make_generator(size_px=size_px)


def test_the_weights_are_frozen(tiny_generator: StyleGan2Generator) -> None:
    assert not any(parameter.requires_grad for parameter in tiny_generator.network.parameters())
    assert not tiny_generator.render(tiny_generator.start([0])).requires_grad
