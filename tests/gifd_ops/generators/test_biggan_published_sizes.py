"""The package's three published models, with random weights: told apart, and the same images and features as here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gifd_ops.generators.biggan import BigGanGenerator
from gifd_ops.generators.biggan_config import BIGGAN_DEEP_128, BIGGAN_DEEP_256, BIGGAN_DEEP_512, BigGanConfig
from gifd_ops.generators.checkpoints import build, read_checkpoint
from tests.gifd_ops.generators.test_biggan_weights import package_model, public_weights


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [BIGGAN_DEEP_128, BIGGAN_DEEP_256, BIGGAN_DEEP_512])
def test_a_published_model_is_recognized_and_is_the_packages(sizes: BigGanConfig, tmp_path: Path) -> None:
    weights = {name: value.float() for name, value in public_weights(sizes).items()}
    model, features = package_model(sizes, weights), []
    for layer in model.generator.layers:
        layer.register_forward_hook(lambda _, inputs, output: features.append(output))
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    config, baked = read_checkpoint(tmp_path / "pytorch_model.bin", "biggan")
    assert config == sizes
    ours = build(config, size_px=sizes.size_px, weights=baked)
    assert isinstance(ours, BigGanGenerator)
    labels = torch.tensor([207])
    start = ours.start([1], labels)
    image = model(start.latent[:, 0], torch.nn.functional.one_hot(labels, 1000).float(), 1.0)
    assert float(image.std()) > 0.05
    torch.testing.assert_close(2 * ours.render(start) - 1, image, rtol=0, atol=1e-4)
    hidden = start
    for layer, feature in enumerate(features, start=1):
        hidden = ours.advance(hidden, to=layer)
        largest = float(feature.abs().max())  # features of hundreds, in single precision
        torch.testing.assert_close(hidden.hidden, feature, rtol=0, atol=1e-5 * largest)
