from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gifd_ops.generators.biggan import BigGanGenerator
from gifd_ops.generators.biggan_config import BIGGAN_DEEP_128, BIGGAN_DEEP_256, BIGGAN_DEEP_512, BigGanConfig
from gifd_ops.generators.biggan_network import BatchNorm, BigGan, ConditionalBatchNorm, GenBlock, SelfAttention

ROWS, CHANNELS, CONDITION, SIDE = 3, 16, 5, 6


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("config", [BIGGAN_DEEP_128, BIGGAN_DEEP_256, BIGGAN_DEEP_512])
def test_layers_take_what_the_config_says(config: BigGanConfig) -> None:
    with torch.device("meta"):  # shapes without numbers
        network = BigGan(config)
        condition, hidden = torch.empty(1, config.condition_dim), None
    for index, (channels, side) in enumerate(config.layer_inputs):
        assert hidden is None or hidden.shape == (1, channels, side, side)
        hidden = network.generator.layer(index, hidden, condition)
    assert hidden is not None
    assert network.generator.image(hidden).shape == (1, 3, config.size_px, config.size_px)


def test_layers_one_by_one_are_the_whole(tiny_biggan: BigGanGenerator) -> None:
    network, z, labels = tiny_biggan.network, normal(ROWS, 6), torch.tensor([4, 0, 9])
    condition, hidden = torch.cat([z, network.embed(labels)], dim=1), None
    for index in range(network.config.num_layers):
        hidden = network.generator.layer(index, hidden, condition)
    assert hidden is not None
    image = network.generator.image(hidden)
    torch.testing.assert_close(image, network(z, labels), rtol=1e-13, atol=1e-13)
    assert float(image.abs().max()) <= 1
    assert float(image.std(dim=0).mean()) > 0.05


def test_class_embeddings_are_the_map_of_one_hot_labels(tiny_biggan: BigGanGenerator) -> None:
    labels = torch.tensor([4, 0, 9])
    one_hot = functional.one_hot(labels, 10).double()
    assert torch.equal(tiny_biggan.network.embed(labels), tiny_biggan.network.embeddings(one_hot))


def test_the_first_features_are_laid_out_channels_last(tiny_biggan: BigGanGenerator) -> None:
    generator, condition = tiny_biggan.network.generator, normal(ROWS, 11)
    flat = generator.gen_z(condition)
    shaped = torch.stack([flat[:, place * 16 : (place + 1) * 16] for place in range(4 * 4)], dim=2).view(ROWS, 16, 4, 4)
    assert torch.equal(generator.layer(0, None, condition), generator.layer(0, shaped, condition))


def normalized(norm: ConditionalBatchNorm, features: Tensor, condition: Tensor) -> Tensor:
    """Batch norm with the gain and bias of each row, row by row."""
    rows = [
        functional.batch_norm(row[None], norm.running_mean, norm.running_var, 1 + gain, bias, eps=1e-4)
        for row, gain, bias in zip(features, norm.scale(condition), norm.offset(condition), strict=True)
    ]
    return torch.cat(rows)


def lively(network: nn.Module) -> nn.Module:
    """The network with statistics as a trained one has them."""
    for index, module in enumerate(network.modules()):
        if isinstance(module, ConditionalBatchNorm | BatchNorm):
            module.running_mean = normal(len(module.running_mean), seed=index)
            module.running_var = normal(len(module.running_var), seed=index).exp()
    return network.double().requires_grad_(False)


def test_conditional_batch_norm_is_batch_norm_with_the_gain_and_bias_of_each_row() -> None:
    norm = lively(ConditionalBatchNorm(CHANNELS, CONDITION, eps=1e-4))
    features, condition = normal(ROWS, CHANNELS, SIDE, SIDE, seed=3), normal(ROWS, CONDITION, seed=4)
    found = norm(features, condition)
    torch.testing.assert_close(found, normalized(norm, features, condition), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("upsample", [True, False])
@pytest.mark.parametrize("outputs", [CHANNELS, CHANNELS // 2])
def test_a_block_is_the_bottleneck_of_the_paper_beside_the_first_channels(outputs: int, upsample: bool) -> None:
    block = lively(GenBlock(CHANNELS, outputs, CONDITION, upsample=upsample, eps=1e-4))
    features, condition = normal(ROWS, CHANNELS, SIDE, SIDE), normal(ROWS, CONDITION, seed=1)

    def grown(values: Tensor) -> Tensor:
        return values.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3) if upsample else values

    values = features
    for index, padding in enumerate((0, 1, 1, 0)):
        values = normalized(block.get_submodule(f"bn_{index}"), values, condition).clamp_min(0)
        convolution = block.get_submodule(f"conv_{index}")
        values = grown(values) if index == 1 else values
        values = functional.conv2d(values, convolution.weight, convolution.bias, padding=padding)
    expected = values + grown(features[:, :outputs])
    torch.testing.assert_close(block(features, condition), expected, rtol=1e-12, atol=1e-12)


def test_colors_are_a_convolution_of_the_normalized_features_through_tanh(tiny_biggan: BigGanGenerator) -> None:
    tail, features = tiny_biggan.network.generator, normal(ROWS, 4, 16, 16)
    spread = (tail.bn.running_var + 1e-4).sqrt()[:, None, None]
    values = (features - tail.bn.running_mean[:, None, None]) / spread
    values = (values * tail.bn.weight[:, None, None] + tail.bn.bias[:, None, None]).clamp_min(0)
    expected = functional.conv2d(values, tail.conv_to_rgb.weight, tail.conv_to_rgb.bias, padding=1).tanh()
    torch.testing.assert_close(tail.image(features), expected, rtol=1e-12, atol=1e-12)


def test_self_attention_averages_the_pooled_values_by_likeness_of_key_and_query() -> None:
    layer = SelfAttention(CHANNELS).double().requires_grad_(False)
    layer.gamma.fill_(0.7)
    features = normal(ROWS, CHANNELS, SIDE, SIDE)

    def at_every_place(convolution: nn.Module) -> Tensor:
        return torch.einsum("oi,nihw->nohw", convolution.weight[:, :, 0, 0], features)

    def pooled(values: Tensor) -> Tensor:
        return values.unfold(2, 2, 2).unfold(3, 2, 2).amax(dim=(4, 5)).flatten(2)

    queries = at_every_place(layer.snconv1x1_theta)
    keys, values = pooled(at_every_place(layer.snconv1x1_phi)), pooled(at_every_place(layer.snconv1x1_g))
    found = layer(features)
    for row, down, right in [(0, 0, 0), (1, 2, 5), (2, 5, 1)]:
        likeness = (keys[row] * queries[row, :, down, right, None]).sum(dim=0).exp()
        average = (values[row] * likeness / likeness.sum()).sum(dim=1)
        expected = features[row, :, down, right] + 0.7 * layer.snconv1x1_o_conv.weight[:, :, 0, 0] @ average
        torch.testing.assert_close(found[row, :, down, right], expected, rtol=1e-12, atol=1e-12)
    assert float((found - features).abs().max()) > 1e-2
