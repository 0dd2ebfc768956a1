from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gifd_ops.generators.loading import build_generator, load_generator, read_manifest
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.generators.stylegan2_network import StyleGan2, StyleGan2Config
from gifd_ops.tasks import PORTRAITS

CONFIG = StyleGan2Config(channels=(4, 4), z_dim=4, w_dim=4, mapping_layers=1)


def write_manifest(checkpoint: Path) -> None:
    sizes = {"channels": [4, 4], "z_dim": 4, "w_dim": 4, "mapping_layers": 1}
    manifest = {"sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(), "config": sizes}
    checkpoint.with_suffix(".json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("place", [0, 1000, -1])
def test_a_checkpoint_altered_in_one_byte_is_refused(tmp_path: Path, place: int) -> None:
    copy = tmp_path / PORTRAITS.checkpoint.name
    shutil.copy(PORTRAITS.checkpoint, copy)
    shutil.copy(PORTRAITS.checkpoint.with_suffix(".json"), copy.with_suffix(".json"))
    data = bytearray(copy.read_bytes())
    data[place] ^= 1
    copy.write_bytes(bytes(data))
    found = hashlib.sha256(data).hexdigest()
    with pytest.raises(ValueError, match=f"sha256 should be {read_manifest(copy)['sha256']}, got {found}"):
        load_generator(copy, size_px=32)


def test_the_embedded_generator_has_the_shape_its_task_promises(portraits_generator: StyleGan2Generator) -> None:
    assert portraits_generator.shape == PORTRAITS.generator_shape
    assert portraits_generator.render(portraits_generator.start([0])).shape == (1, 3, 32, 32)


def test_the_embedded_checkpoint_is_small() -> None:
    assert PORTRAITS.checkpoint.stat().st_size <= 4 * 2**20


def test_the_embedded_generator_makes_pictures_that_are_alive_and_in_range(
    portraits_generator: StyleGan2Generator,
) -> None:
    images = portraits_generator.render(portraits_generator.start(range(16)))
    assert bool(images.isfinite().all())
    assert float((images - images.clamp(0, 1)).abs().mean()) < 0.02
    assert float(images.std(dim=0).mean()) > 0.05  # seeds differ
    assert float(images.std(dim=(2, 3)).mean()) > 0.05  # pixels differ


def test_stored_weights_are_the_ones_in_use(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(11)
        weights = StyleGan2(CONFIG).state_dict()
    checkpoint = tmp_path / "small.safetensors"
    save_file({name: value.contiguous() for name, value in weights.items()}, checkpoint)
    write_manifest(checkpoint)
    loaded = load_generator(checkpoint, size_px=8, dtype=torch.float64).network.state_dict()
    assert loaded.keys() == weights.keys()
    for name, value in weights.items():
        assert torch.equal(loaded[name], value.double())


def test_half_precision_files_load_as_single(tmp_path: Path) -> None:
    weights = {name: value.half() for name, value in StyleGan2(CONFIG).state_dict().items()}
    generator = build_generator(CONFIG, size_px=8, weights=weights)
    assert all(value.dtype == torch.float32 for value in generator.network.state_dict().values())


class _Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def test_a_pickle_is_not_run_even_if_its_manifest_vouches_for_it(tmp_path: Path) -> None:
    checkpoint, marker = tmp_path / "evil.safetensors", tmp_path / "ran"
    torch.save({"weights": _Payload(marker)}, checkpoint)
    write_manifest(checkpoint)
    with pytest.raises(Exception, match=r"(?i)header|deserializ"):
        load_generator(checkpoint, size_px=8)
    assert not marker.exists()
    pickle.loads(pickle.dumps(_Payload(marker)))
    assert marker.exists()  # it would have run


def test_an_untrained_generator_depends_on_its_seed_and_leaves_the_global_state() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first, again, other = (build_generator(CONFIG, size_px=8, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    image, same, different = (generator.render(generator.start([0])) for generator in (first, again, other))
    assert torch.equal(image, same)
    assert not torch.equal(image, different)
