"""Generators from files: checked by sha256, never unpickled."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import load

from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.generators.stylegan2_network import StyleGan2, StyleGan2Config


def read_manifest(checkpoint: Path) -> dict[str, object]:
    """What the .json beside a checkpoint says of it: sha256, architecture, sizes, source, licence."""
    manifest: dict[str, object] = json.loads(checkpoint.with_suffix(".json").read_text())
    return manifest


def load_generator(checkpoint: Path, *, size_px: int, dtype: torch.dtype = torch.float32) -> StyleGan2Generator:
    """The generator of a safetensors checkpoint with its manifest beside it.

    Raises ValueError if the file's sha256 is not the manifest's.
    """
    manifest = read_manifest(checkpoint)
    data = checkpoint.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != manifest["sha256"]:
        raise ValueError(
            f"{checkpoint.name} is not the file its manifest describes: sha256 should be {manifest['sha256']}, "
            f"got {found}; restore the file (git checkout) or train it anew (see the model card)"
        )
    return build_generator(_config(manifest), size_px=size_px, weights=load(data), dtype=dtype)


def untrained_generator(checkpoint: Path, *, size_px: int, seed: int) -> StyleGan2Generator:
    """The architecture of a checkpoint with random weights: a control. The file itself is not read."""
    return build_generator(_config(read_manifest(checkpoint)), size_px=size_px, seed=seed)


def _config(manifest: dict[str, object]) -> StyleGan2Config:
    sizes = manifest["config"]
    assert isinstance(sizes, dict)
    return StyleGan2Config(**{**sizes, "channels": tuple(sizes["channels"])})


def build_generator(
    config: StyleGan2Config,
    *,
    size_px: int,
    weights: dict[str, torch.Tensor] | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> StyleGan2Generator:
    """A generator with the given weights, or untrained from `seed` (the global random state is left as it was)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = StyleGan2(config)
    if weights is not None:
        network.load_state_dict({name: value.float() for name, value in weights.items()})
    return StyleGan2Generator(network.to(dtype), size_px=size_px)
