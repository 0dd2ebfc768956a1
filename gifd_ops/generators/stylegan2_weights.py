"""Public StyleGAN2 weights, turned into those of stylegan2_network.py.

Three families of files are known by their names: rosinality's stylegan2-pytorch (`g_ema` of its checkpoints), NVIDIA's
stylegan2-ada-pytorch and stylegan3 (their StyleGAN2 generators, exported as a plain state dict: docs/assets.md), and
this project's own. Sizes follow from the shapes. All keep weights at unit variance, to be scaled when used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from gifd_ops.generators.disagreement import check_names_and_shapes
from gifd_ops.generators.stylegan2_network import StyleGan2, StyleGan2Config, fir_kernel

Shape = tuple[int, ...]
ROSINALITY, NVIDIA, OWN = "stylegan2-pytorch", "stylegan2-ada-pytorch", "this project"
FIRST = {"conv1.conv.weight": ROSINALITY, "synthesis.b4.const": NVIDIA, "synthesis.constant": OWN}  # tells the family
UNUSED = {  # by family: stored noise, the mean latent, and the filters, whose numbers are checked
    ROSINALITY: re.compile(r"noises\.noise_\d+|.*\.kernel"),
    NVIDIA: re.compile(r"mapping\.w_avg|.*\.noise_const|.*\.resample_filter"),
    OWN: re.compile(r"(?!)"),  # nothing
}
MAPPING = {  # by family: the first layer's number, and how layers are named
    ROSINALITY: (1, "style.{}"),
    NVIDIA: (0, "mapping.fc{}"),
    OWN: (0, "mapping.layers.{}"),
}
FILTERS = re.compile(r".*\.(kernel|resample_filter)")


def convert_weights(
    public: Mapping[str, Tensor], *, clamp: float | None = None
) -> tuple[StyleGan2Config, dict[str, Tensor]]:
    """Sizes and state dict for `StyleGan2(sizes)` of a public state dict.

    clamp: what NVIDIA's networks trained in half precision bound their features by; it is no part of a state dict.
    Raises ValueError if names, shapes or resampling filters are not those of a StyleGAN2 with skips.
    """
    family = _family(public)
    config = _sizes(public, family, clamp=clamp)
    names = dict(_names(config, family))
    with torch.device("meta"):
        ours = StyleGan2(config).state_dict()
    expected = {theirs: _shape_of(theirs, tuple(ours[name].shape), family) for name, theirs in names.items()}
    used = {name: value for name, value in public.items() if not UNUSED[family].fullmatch(name)}
    check_names_and_shapes(
        used,
        expected,
        rule=f"StyleGAN2 weights have the names that {family} gives them, and shapes that fit",
        remedy="give the whole generator's state dict, of the architecture that is named",
    )
    _check_filters(public)
    return config, {name: public[theirs].reshape(ours[name].shape).contiguous() for name, theirs in names.items()}


def lower_layers(
    config: StyleGan2Config, weights: Mapping[str, Tensor], *, size_px: int
) -> tuple[StyleGan2Config, dict[str, Tensor]]:
    """The network without its blocks above `size_px`: an approximation of its images shrunk to that size.

    The colors that upper blocks would add are left out instead of averaged, so images differ, by more than sharpness;
    it is never done unasked. Raises ValueError if no block works at that size.
    """
    count = size_px.bit_length() - 2
    if not 1 <= count <= config.num_blocks or 4 * 2 ** (count - 1) != size_px:
        raise ValueError(
            f"lower layers end at 4, 8, ... {config.size_px} px, got {size_px}; choose one of them, or render all"
        )
    blocks = {f"synthesis.blocks.{block}" for block in range(count)}
    kept = {
        name: value
        for name, value in weights.items()
        if not name.startswith("synthesis.blocks.") or ".".join(name.split(".")[:3]) in blocks
    }
    return replace(config, channels=config.channels[:count]), kept


def _family(public: Mapping[str, Tensor]) -> str:
    for name, family in FIRST.items():
        if name in public:
            return family
    raise ValueError(
        f"StyleGAN2 weights hold {' or '.join(FIRST)}; these hold {', '.join(list(public)[:5]) or 'nothing'}; give the "
        "generator's state dict (g_ema), or say which architecture this is"
    )


def _sizes(public: Mapping[str, Tensor], family: str, *, clamp: float | None) -> StyleGan2Config:
    """The sizes that the shapes tell. Raises ValueError for class-conditional networks and for gaps."""
    if any(name.startswith("mapping.embed.") for name in public):
        raise ValueError(
            "this StyleGAN2 is conditional on classes (mapping.embed), and its attack needs one that is not; choose an "
            "unconditional network"
        )
    begin, layer = MAPPING[family]
    count = 0
    while f"{layer.format(begin + count)}.weight" in public:
        count += 1
    blocks = 0
    while _convolution(blocks, family) in public:
        blocks += 1
    if not count or not blocks:
        raise ValueError(
            f"StyleGAN2 weights as {family} names them hold a mapping network ({layer.format(begin)}.weight) and "
            f"convolutions ({_convolution(0, family)}), and these do not; export the whole generator"
        )
    convolutions = [public[_convolution(block, family)] for block in range(blocks)]
    first, last = (public[f"{layer.format(number)}.weight"] for number in (begin, begin + count - 1))
    if first.ndim != 2 or last.ndim != 2 or any(weight.ndim < 4 for weight in convolutions):
        raise ValueError(f"weights of a mapping network are matrices, got {layer.format(begin)} {tuple(first.shape)}")
    channels = tuple(weight.shape[-4] for weight in convolutions)
    return StyleGan2Config(
        channels=channels, z_dim=first.shape[1], w_dim=last.shape[0], mapping_layers=count, clamp=clamp
    )


def _convolution(block: int, family: str) -> str:
    """The name of the second convolution's weight of a block."""
    if family == NVIDIA:
        return f"synthesis.b{4 * 2**block}.conv1.weight"
    if family == OWN:
        return f"synthesis.blocks.{block}.conv.conv.weight"
    return "conv1.conv.weight" if block == 0 else f"convs.{2 * block - 1}.conv.weight"


def _names(config: StyleGan2Config, family: str) -> Iterator[tuple[str, str]]:
    """Every name of our state dict and the public one of the same numbers."""
    if family == OWN:
        with torch.device("meta"):
            yield from ((name, name) for name in StyleGan2(config).state_dict())
        return
    begin, layer = MAPPING[family]
    for index in range(config.mapping_layers):
        for part in ("weight", "bias"):
            yield f"mapping.layers.{index}.{part}", f"{layer.format(begin + index)}.{part}"
    yield "synthesis.constant", "synthesis.b4.const" if family == NVIDIA else "input.input"
    for block in range(config.num_blocks):
        ours, side = f"synthesis.blocks.{block}", 4 * 2**block
        if family == NVIDIA:
            up, conv, rgb = (f"synthesis.b{side}.{layer}" for layer in ("conv0", "conv1", "torgb"))
        elif block == 0:
            up, conv, rgb = "", "conv1", "to_rgb1"
        else:
            up, conv, rgb = f"convs.{2 * block - 2}", f"convs.{2 * block - 1}", f"to_rgbs.{block - 1}"
        layers = {"conv": conv, "to_rgb": rgb} if block == 0 else {"up": up, "conv": conv, "to_rgb": rgb}
        for name, public in layers.items():
            inner, style = (public, "affine") if family == NVIDIA else (f"{public}.conv", "modulation")
            yield f"{ours}.{name}.conv.weight", f"{inner}.weight"
            yield f"{ours}.{name}.conv.style.weight", f"{inner}.{style}.weight"
            yield f"{ours}.{name}.conv.style.bias", f"{inner}.{style}.bias"
            bias = "bias" if family == NVIDIA or name == "to_rgb" else "activate.bias"
            yield f"{ours}.{name}.bias", f"{public}.{bias}"
            if name != "to_rgb":
                noise = "noise_strength" if family == NVIDIA else "noise.weight"
                yield f"{ours}.{name}.noise_gain", f"{public}.{noise}"


def _shape_of(public: str, ours: Shape, family: str) -> Shape:
    """The shape that a public tensor has of which ours is the same numbers."""
    if family == OWN:
        return ours
    if family == NVIDIA:
        return ours[1:] if public == "synthesis.b4.const" else ours
    if public.endswith(".conv.weight"):
        return (1, *ours)
    if public.endswith(".noise.weight"):
        return (1,)
    return (1, 3, 1, 1) if public.startswith("to_rgb") and public.endswith(".bias") and ours == (3,) else ours


def _check_filters(public: Mapping[str, Tensor]) -> None:
    """Raise ValueError if any stored resampling filter is not [1, 3, 3, 1] (times a gain, which is the layer's own)."""
    expected = fir_kernel()
    for name, value in public.items():
        if not FILTERS.fullmatch(name):
            continue
        taps = value.float() if value.ndim == 2 else torch.outer(value.float(), value.float())
        if taps.shape != expected.shape or not torch.allclose(taps / taps.sum(), expected, atol=1e-4):
            raise ValueError(
                f"StyleGAN2 resamples with the filter [1, 3, 3, 1], got another in {name}; this network cannot be run"
            )
