"""Milliseconds per image and slope of StyleGAN2: shared weights with scaled inputs against modulated weights per image.

    python -m benchmarks.generator

Both compute equation 3 of Karras et al. (CVPR 2020), with the same weights: here inputs are scaled by the style and
outputs demodulated, so that all images share one ordinary convolution; the way of the public implementations gives
every image weights of its own and convolves in groups. The slope is taken in the latents, as an attack does.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.timing import in_turns, ratio
from gifd_ops.generators.stylegan2_network import ModulatedConv, StyleGan2, StyleGan2Config, _filter

SHARED, PER_IMAGE = "shared weights", "weights per image"


def modulated_per_image(
    self: ModulatedConv, features: Tensor, w: Tensor, kernel: Tensor, *, gain: float = 1.0
) -> Tensor:
    """A modulated convolution whose weights are scaled, and demodulated, for every image anew."""
    rows, inputs, height, width = features.shape
    weight = (self.weight * self.scale) * self.style(w)[:, None, :, None, None]  # [rows, out, in, k, k]
    if self.demodulate:
        weight = gain * weight * torch.rsqrt(weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8)
    outputs, size = weight.shape[1], weight.shape[-1]
    grouped = features.reshape(1, rows * inputs, height, width)
    if self.upsample:
        turned = weight.transpose(1, 2).reshape(rows * inputs, outputs, size, size)
        out = functional.conv_transpose2d(grouped, turned, stride=2, groups=rows)
        out = out.view(rows, outputs, *out.shape[2:])
        return _filter(functional.pad(out, (1, 1, 1, 1)), 4 * kernel)
    own = weight.reshape(rows * outputs, inputs, size, size)
    out = functional.conv2d(grouped, own, padding=size // 2, groups=rows)
    return out.view(rows, outputs, height, width)


@contextmanager
def weights_per_image() -> Iterator[None]:
    """Modulation the other way, as long as the body runs."""
    ours = ModulatedConv.forward
    ModulatedConv.forward = modulated_per_image  # type: ignore[method-assign]
    try:
        yield
    finally:
        ModulatedConv.forward = ours  # type: ignore[method-assign]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", default="512", help="of every block, comma separated (default %(default)s)")
    parser.add_argument("--size-px", type=int, default=64, help="of the images (default %(default)s)")
    parser.add_argument("--rows", default="1,4", help="images at once, comma separated (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds after one warm-up (default %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default %(default)s)")
    parser.add_argument("--device", default="cpu", help="(default %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} thread(s), {arguments.device}, {arguments.size_px} px")
    print(f"channels  rows   {SHARED:>17}   {PER_IMAGE:>17}   ratio   images differ by")
    for channels in map(int, arguments.channels.split(",")):
        blocks = (arguments.size_px // 4).bit_length()
        torch.manual_seed(0)
        network = StyleGan2(StyleGan2Config(channels=(channels,) * blocks, z_dim=512, w_dim=512, mapping_layers=1))
        network.to(arguments.device).requires_grad_(False)
        network.synthesis.bake()
        for rows in map(int, arguments.rows.split(",")):
            _compare(network, channels, rows, arguments)


def _compare(network: StyleGan2, channels: int, rows: int, arguments: argparse.Namespace) -> None:
    drawn = torch.Generator().manual_seed(rows)
    noises = [noise.to(arguments.device) for noise in network.draw_noises(rows, drawn)]
    latent = torch.randn(rows, network.config.num_styles, 512, generator=drawn).to(arguments.device)

    def image_and_slope() -> Tensor:
        wanted = latent.clone().requires_grad_()
        images: Tensor = network.synthesis(wanted, noises)
        torch.autograd.grad(images.square().sum(), wanted)
        if images.is_cuda:
            torch.cuda.synchronize()
        return images.detach()

    def per_image() -> Tensor:
        with weights_per_image():
            return image_and_slope()

    apart = float((image_and_slope() - per_image()).abs().max())
    seconds = in_turns({SHARED: image_and_slope, PER_IMAGE: per_image}, rounds=arguments.rounds)
    shown = "   ".join(f"{1000 * statistics.median(values) / rows:17.1f}" for values in seconds.values())
    print(f"{channels:8}  {rows:4}   {shown}   {ratio(seconds, PER_IMAGE, SHARED):5.2f}   {apart:.0e}", flush=True)


if __name__ == "__main__":
    main()
