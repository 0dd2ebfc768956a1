from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gifd_ops.generators.biggan_config import BIGGAN_DEEP_128, BIGGAN_DEEP_256, BIGGAN_DEEP_512, BigGanConfig

# Channels and side of what GIFD optimizes from stage 1 on.
SEARCHED_128 = ((2048, 4), (2048, 8), (2048, 8), (1024, 16), (1024, 16), (512, 32), (512, 32), *[(256, 64)] * 3)
SEARCHED_256 = (*SEARCHED_128[:5], (1024, 32), (1024, 32), *[(512, 64)] * 3, (256, 128), (256, 128))
SEARCHED_512 = (*SEARCHED_256, (128, 256), (128, 256))


@pytest.mark.parametrize(
    ("config", "searched", "size_px"),
    [(BIGGAN_DEEP_128, SEARCHED_128, 128), (BIGGAN_DEEP_256, SEARCHED_256, 256), (BIGGAN_DEEP_512, SEARCHED_512, 512)],
)
def test_stages_of_the_published_models_search_the_tabulated_features(
    config: BigGanConfig, searched: tuple[tuple[int, int], ...], size_px: int
) -> None:
    assert config.layer_inputs[1:] == searched
    assert config.shape.feature_scalars == (0, *(channels * side * side for channels, side in searched))
    assert config.shape.latent_scalars == 128
    assert (config.num_layers, config.size_px) == (len(searched) + 1, size_px)


@pytest.mark.parametrize("position", range(3))
def test_attention_repeats_the_input_of_the_block_it_precedes(biggan_config: BigGanConfig, position: int) -> None:
    moved = replace(biggan_config, attention_layer_position=position).layer_inputs
    blocks = [(16, 4), (16, 8), (8, 8)]
    blocks.insert(position, blocks[position])
    assert moved == tuple(blocks)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": ((True, 4, 4), (True, 2, 1))}, "block 0 gives 4, block 1 takes 2; make them equal"),
        ({"layers": ((True, 4, 1),)}, "got 4 to 1 in block 0; halve in several blocks"),
        ({"layers": ((True, 1, 2),)}, "got 1 to 2 in block 0"),
        ({"layers": ((True, 4, 2),)}, r"the last block gives 1 x channel_width, got layers .*4, 2"),
        ({"layers": ()}, r"got layers \(\); add blocks"),
        ({"attention_layer_position": 3}, "blocks 0 to 2, got position 3"),
        ({"attention_layer_position": -1}, "blocks 0 to 2, got position -1"),
        ({"channel_width": 3}, "channel_width must be >= 4, got 3"),
        ({"channel_width": 7, "layers": ((True, 1, 1),) * 3}, "channel_width must be >= 8, got 7"),
        ({"num_statistics": 1}, "two truncations or more, got 1"),
    ],
)
def test_sizes_that_fit_no_network_are_refused(
    biggan_config: BigGanConfig, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replace(biggan_config, **changes)
