"""Public files become generators; what is no whole checkpoint of the architecture is refused, and nothing is run."""

from __future__ import annotations

import json
import math
import pickle
from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from gifd_ops.generators.biggan import BigGanGenerator
from gifd_ops.generators.biggan_config import BIGGAN_DEEP_128, BIGGAN_DEEP_256, BIGGAN_DEEP_512, BigGanConfig
from gifd_ops.generators.biggan_weights import public_shapes
from gifd_ops.generators.checkpoints import (
    _biggan_sizes,
    build,
    config_from_dict,
    read_biggan_sizes,
    read_checkpoint,
    read_state_dict,
)
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.generators.stylegan2_network import StyleGan2, StyleGan2Config
from tests.gifd_ops.generators.test_biggan_weights import PACKAGED
from tests.gifd_ops.generators.test_biggan_weights import public_weights as biggan_weights
from tests.gifd_ops.generators.test_stylegan2_weights import public_weights

SMALL = replace(PACKAGED, layers=((False, 16, 16), (True, 16, 8), (True, 8, 4), (True, 4, 2), (True, 2, 1)))


@pytest.fixture(scope="module")
def nvidia() -> dict[str, Tensor]:
    return public_weights("stylegan2-ada-pytorch")


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "wrapped.pt", "old.pt"])
def test_every_kind_of_file_gives_the_same_generator(suffix: str, nvidia: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / f"g.{suffix}"
    if suffix == "safetensors":
        save_file(nvidia, path)
    else:
        held = {"g_ema": nvidia, "latent_avg": torch.zeros(16)} if "wrapped" in suffix else nvidia
        torch.save(held, path, _use_new_zipfile_serialization="old" not in suffix)
    config, weights = read_checkpoint(path, "stylegan2")
    generator = build(config, size_px=32, weights=weights)
    assert isinstance(generator, StyleGan2Generator)
    assert generator.render(generator.start([0])).shape == (1, 3, 32, 32)
    constant = generator.network.synthesis.constant[0]
    assert torch.equal(constant, nvidia["synthesis.b4.const"])
    assert config_from_dict("stylegan2", json.loads(json.dumps(asdict(config)))) == config


def test_the_bound_of_half_precision_is_read_from_the_metadata(nvidia: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(nvidia, tmp_path / "g.safetensors", metadata={"conv_clamp": "256"})
    config, _ = read_checkpoint(tmp_path / "g.safetensors", "stylegan2")
    assert isinstance(config, StyleGan2Config)
    assert config.clamp == 256
    told, _ = read_checkpoint(tmp_path / "g.safetensors", "stylegan2", clamp=3.0)
    assert isinstance(told, StyleGan2Config)
    assert told.clamp == 3


def test_weights_under_our_own_names_are_read_too(tmp_path: Path) -> None:
    config = StyleGan2Config(channels=(6, 4), z_dim=3, w_dim=5, mapping_layers=2)
    weights = StyleGan2(config).state_dict()
    save_file({name: value.contiguous() for name, value in weights.items()}, tmp_path / "own.safetensors")
    found, read = read_checkpoint(tmp_path / "own.safetensors", "stylegan2")
    assert found == config
    assert all(torch.equal(read[name], value) for name, value in weights.items())


def write_biggan(folder: Path) -> tuple[Path, Path]:
    weights, sizes = folder / "g.bin", folder / "config.json"
    torch.save({name: value.float() for name, value in biggan_weights(SMALL).items()}, weights)
    told = {**asdict(SMALL), "n_stats": SMALL.num_statistics, "output_dim": SMALL.size_px}
    sizes.write_text(json.dumps(told))
    return weights, sizes


def test_a_biggan_of_other_sizes_needs_them_told(tmp_path: Path) -> None:
    weights, sizes = write_biggan(tmp_path)
    assert read_biggan_sizes(sizes) == SMALL
    config, baked = read_checkpoint(weights, "biggan", sizes=sizes)
    generator = build(config, size_px=32, weights=baked)
    assert isinstance(generator, BigGanGenerator)
    assert generator.render(generator.start([0], torch.tensor([3]))).shape == (1, 3, 32, 32)
    assert config_from_dict("biggan", json.loads(json.dumps(asdict(config)))) == config
    with pytest.raises(ValueError, match=r"is no biggan checkpoint: .*disagree"):
        read_checkpoint(weights, "biggan")


@pytest.mark.parametrize("config", [BIGGAN_DEEP_128, BIGGAN_DEEP_256, BIGGAN_DEEP_512])
def test_published_biggans_are_told_apart_by_their_shapes(config: BigGanConfig) -> None:
    with torch.device("meta"):
        tensors = {name: torch.empty(shape) for name, shape in public_shapes(config).items()}
    assert _biggan_sizes(tensors) == config
    del tensors["generator.bn.weight"]
    assert _biggan_sizes(tensors) == config


def test_a_checkpoint_of_the_other_architecture_is_refused_by_its_names(
    nvidia: dict[str, Tensor], tmp_path: Path
) -> None:
    save_file(nvidia, tmp_path / "g.safetensors")
    with pytest.raises(ValueError, match=r"is no biggan checkpoint: .*embeddings.weight is missing") as refusal:
        read_checkpoint(tmp_path / "g.safetensors", "biggan")
    assert str(refusal.value).count(" is missing") == 5
    weights, _ = write_biggan(tmp_path)
    with pytest.raises(
        ValueError, match=r"is no stylegan2 checkpoint: .*these hold embeddings.weight, generator.gen_z"
    ):
        read_checkpoint(weights, "stylegan2")


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_file_cut_short_is_refused(suffix: str, share: float, nvidia: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / f"g.{suffix}"
    save_file(nvidia, path) if suffix == "safetensors" else torch.save(nvidia, path)
    data = path.read_bytes()
    path.write_bytes(data[: math.floor(share * len(data))])
    with pytest.raises(ValueError, match=r"fetch (it|or export it) again"):
        read_state_dict(path)


class _Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    torch.save({"g_ema": _Payload(marker)}, tmp_path / "evil.pt")
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(_Payload(marker)))
    for name in ("evil.pt", "evil.pkl"):
        with pytest.raises(ValueError, match=r"holds more than tensors \(.*\), or is no checkpoint, and is not opened"):
            read_state_dict(tmp_path / name)
    assert not marker.exists()


def test_a_checkpoint_that_holds_options_too_says_what_to_do(nvidia: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({"g_ema": nvidia, "args": Namespace(size=64)}, tmp_path / "train.pt")
    with pytest.raises(
        ValueError, match=r"holds more than tensors \(argparse.Namespace\).*export its generator's state"
    ):
        read_state_dict(tmp_path / "train.pt")


def test_a_file_without_a_state_dict_names_what_it_holds(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "lr": 0.1}, tmp_path / "g.pt")
    with pytest.raises(ValueError, match=r"holds no state dict, nor one under g_ema or .*: it holds epoch, lr"):
        read_state_dict(tmp_path / "g.pt")
    with pytest.raises(ValueError, match="a checkpoint is a file"):
        read_state_dict(tmp_path / "nowhere.pt")


def test_another_scaled_biggan_config_is_refused(tmp_path: Path) -> None:
    weights, sizes = write_biggan(tmp_path)
    told = {**asdict(replace(SMALL, channel_width=8)), "n_stats": 51}
    sizes.write_text(json.dumps(told))
    with pytest.raises(ValueError, match="disagree"):
        read_checkpoint(weights, "biggan", sizes=sizes)
    sizes.write_text("{}")
    with pytest.raises(ValueError, match=r"is no config.json of a BigGAN-deep \(KeyError: 'layers'\)"):
        read_checkpoint(weights, "biggan", sizes=sizes)
