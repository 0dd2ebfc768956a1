"""Generators from public checkpoints: read without unpickling, recognized by names and shapes, never by file name."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gifd_ops.generators.biggan import BigGanGenerator, build_biggan
from gifd_ops.generators.biggan_config import BIGGAN_DEEP_128, BIGGAN_DEEP_256, BIGGAN_DEEP_512, BigGanConfig
from gifd_ops.generators.biggan_weights import bake_weights, public_shapes
from gifd_ops.generators.loading import build_generator
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.generators.stylegan2_network import StyleGan2Config
from gifd_ops.generators.stylegan2_weights import convert_weights, lower_layers

ARCHITECTURES = ("stylegan2", "biggan")
APPROXIMATIONS = ("none", "lower_layers")
WITHIN = ("g_ema", "G_ema", "state_dict")  # where checkpoints keep the generator's state dict
Config = StyleGan2Config | BigGanConfig
PublicGenerator = StyleGan2Generator | BigGanGenerator


def read_state_dict(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a checkpoint and its metadata: safetensors, or what `torch.load(weights_only=True)` reads.

    Raises ValueError for a file that is missing, cut short, or holds anything but tensors.
    """
    if not path.is_file():
        raise ValueError(f"a checkpoint is a file; {path} is none; docs/assets.md says where checkpoints come from")
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                names = file.keys()  # a method alone: such a file cannot be iterated
                return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path} is no whole safetensors file ({error}); fetch or export it again") from None
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} holds more than tensors ({_foreign(error)}), or is no checkpoint, and is not opened; export its "
            "generator's state dict to safetensors where it was made (docs/assets.md)"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = (str(error) or type(error).__name__).split(". ")[0]
        raise ValueError(
            f"{path} cannot be read as a checkpoint ({reason}); it is cut short or altered: fetch it again"
        ) from None
    return _tensors(held, path), {}


def _foreign(error: pickle.UnpicklingError) -> str:
    """What a checkpoint asked for that is no tensor."""
    found = re.search(r"(?:GLOBAL|global:?|class) ([A-Za-z_][\w.]*\.[\w.]+)", str(error))
    return found[1] if found else "no tensors at all"


def _tensors(held: Any, path: Path) -> dict[str, Tensor]:
    """The generator's state dict in what a checkpoint holds."""
    if isinstance(held, Mapping):
        inner = next((held[name] for name in WITHIN if isinstance(held.get(name), Mapping)), held)
        tensors = {str(name): value for name, value in inner.items() if isinstance(value, Tensor)}
        if tensors and len(tensors) == len(inner):
            return tensors
    names = ", ".join(map(str, list(held)[:5])) if isinstance(held, Mapping) else type(held).__name__
    raise ValueError(
        f"{path} holds no state dict, nor one under {' or '.join(WITHIN)}: it holds {names}; save the generator's "
        "state dict"
    )


def read_checkpoint(
    path: Path,
    architecture: str,
    *,
    sizes: Path | None = None,
    clamp: float | None = None,
    expected: BigGanConfig | None = None,
) -> tuple[Config, dict[str, Tensor]]:
    """Sizes and weights for `build` of a public checkpoint.

    sizes: the config.json of a BigGAN-deep, as pytorch-pretrained-biggan writes it; None for the published ones, told
    apart by their shapes. clamp: see `StyleGan2Config`; None for what the file's metadata says (`conv_clamp`).
    expected: sizes that are known already, of a BigGAN.
    Raises ValueError for a checkpoint of another architecture, naming the first five disagreements.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"an architecture is one of {', '.join(ARCHITECTURES)}, got {architecture!r}")
    tensors, metadata = read_state_dict(path)
    try:
        if architecture == "stylegan2":
            if clamp is None and "conv_clamp" in metadata:
                clamp = float(metadata["conv_clamp"])
            return convert_weights(tensors, clamp=clamp)
        config = expected
        if config is None:
            config = _biggan_sizes(tensors) if sizes is None else read_biggan_sizes(sizes)
        return config, bake_weights(tensors, config)
    except ValueError as error:
        raise ValueError(f"{path} is no {architecture} checkpoint: {error}") from None


def _biggan_sizes(tensors: Mapping[str, Tensor]) -> BigGanConfig:
    """The published sizes that agree best with the shapes."""

    def agreeing(config: BigGanConfig) -> int:
        shapes = public_shapes(config)
        known = sum(name in tensors and tuple(tensors[name].shape) == shape for name, shape in shapes.items())
        return known - sum(name not in tensors for name in shapes) - sum(name not in shapes for name in tensors)

    return max((BIGGAN_DEEP_128, BIGGAN_DEEP_256, BIGGAN_DEEP_512), key=agreeing)


def read_biggan_sizes(path: Path) -> BigGanConfig:
    """The sizes in a config.json of pytorch-pretrained-biggan. Raises ValueError."""
    names = ("channel_width", "z_dim", "class_embed_dim", "num_classes", "attention_layer_position", "eps")
    try:
        told = json.loads(path.read_text())
        layers = tuple((bool(up), int(entering), int(leaving)) for up, entering, leaving in told["layers"])
        return BigGanConfig(layers=layers, num_statistics=told["n_stats"], **{name: told[name] for name in names})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is no config.json of a BigGAN-deep ({type(error).__name__}: {error}); it needs layers, n_stats, "
            f"{', '.join(names)}"
        ) from None


def approximate(
    config: Config, weights: dict[str, Tensor], approximation: str, *, size_px: int
) -> tuple[Config, dict[str, Tensor]]:
    """The network in a cheaper form: `none` leaves it as it is, `lower_layers` ends a StyleGAN2 at `size_px`."""
    if approximation == "none":
        return config, weights
    if approximation not in APPROXIMATIONS or not isinstance(config, StyleGan2Config):
        raise ValueError(
            f"an approximation is one of {', '.join(APPROXIMATIONS)}, and lower_layers is StyleGAN2's, got "
            f"{approximation!r}; leave it out"
        )
    return lower_layers(config, weights, size_px=size_px)


def build(
    config: Config,
    *,
    size_px: int,
    weights: dict[str, Tensor] | None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> PublicGenerator:
    """A generator of these sizes, with weights or, for None, untrained from `seed`."""
    if isinstance(config, StyleGan2Config):
        return build_generator(config, size_px=size_px, weights=weights, seed=seed, dtype=dtype)
    return build_biggan(config, size_px=size_px, weights=weights, seed=seed, dtype=dtype)


def config_from_dict(architecture: str, values: Mapping[str, Any]) -> Config:
    """The sizes that `dataclasses.asdict` took apart, through JSON."""
    if architecture == "stylegan2":
        return StyleGan2Config(**{**values, "channels": tuple(values["channels"])})
    layers = tuple((bool(up), int(entering), int(leaving)) for up, entering, leaving in values["layers"])
    return BigGanConfig(**{**values, "layers": layers})
