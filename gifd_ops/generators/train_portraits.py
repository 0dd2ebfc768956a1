"""Train the embedded generator: a small StyleGAN2 on the photo portraits of the seed range `train`.

    python -m gifd_ops.generators.train_portraits --images 375000 --output portraits.safetensors

Non-saturating loss, lazy R1, exponential moving average, style mixing; Adam(0, 0.99), decayed linearly over the last
fifth (Karras et al., CVPR 2020, with the regularization strength that suits this little data set). An interrupted run
continues from `OUTPUT.state`. Training is not reproducible to the bit between machines: the checkpoint is what is
shipped, by its sha256.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torchvision.utils import save_image

from gifd_ops.generators.stylegan2_network import EqualLinear, StyleGan2, StyleGan2Config, leaky_relu
from gifd_ops.portraits import SEED_RANGES, draw

PORTRAITS = StyleGan2Config(channels=(128, 128, 64, 32), z_dim=64, w_dim=128, mapping_layers=4)


class EqualConv(nn.Module):
    """A convolution with equalized learning rate."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale, self.stride = (inputs * size * size) ** -0.5, stride

    def forward(self, images: Tensor) -> Tensor:
        padding = self.weight.shape[-1] // 2
        return functional.conv2d(images, self.weight * self.scale, self.bias, self.stride, padding)


class ResidualBlock(nn.Module):
    """Halves the resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = EqualConv(inputs, inputs, 3), EqualConv(inputs, outputs, 3)
        self.skip = EqualConv(inputs, outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        half = functional.avg_pool2d(images, 2)
        deep = functional.avg_pool2d(leaky_relu(self.first(images)), 2)
        out: Tensor = (leaky_relu(self.second(deep)) + self.skip(half)) * 2**-0.5
        return out


class Discriminator(nn.Module):
    """StyleGAN2's residual discriminator with the minibatch standard deviation of groups of four."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        widths = tuple(reversed(channels))
        self.from_rgb = EqualConv(3, widths[0], 1)
        self.blocks = nn.ModuleList(ResidualBlock(a, b) for a, b in itertools.pairwise(widths))
        self.last = EqualConv(widths[-1] + 1, widths[-1], 3)
        self.hidden, self.score = EqualLinear(widths[-1] * 16, widths[-1]), EqualLinear(widths[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        features = leaky_relu(self.from_rgb(images))
        for block in self.blocks:
            features = block(features)
        groups = features.float().view(4, -1, *features.shape[1:])
        spread = torch.sqrt(groups.var(dim=0, unbiased=False) + 1e-8).mean(dim=(1, 2, 3), keepdim=True)
        spread = spread.repeat(4, 1, features.shape[2], features.shape[3])
        features = leaky_relu(self.last(torch.cat([features, spread.to(features.dtype)], dim=1)))
        score: Tensor = self.score(leaky_relu(self.hidden(features.flatten(1))))
        return score.float()


def _photos(count: int) -> Tensor:
    seeds = SEED_RANGES["train"][:count]
    parts = [draw(seeds[i : i + 1000], domain="photo")[0] for i in range(0, count, 1000)]
    return (torch.cat(parts) * 255).round().to(torch.uint8)


def _batches(photos: Tensor, batch: int, stream: torch.Generator) -> Iterator[Tensor]:
    while True:
        rows = torch.randint(len(photos), (batch,), generator=stream)
        yield photos[rows].float() / 127.5 - 1


def _fake(network: StyleGan2, batch: int) -> Tensor:
    """Images of random z, half of them with two mixed styles."""
    config = network.config
    first, second = (network.mapping(torch.randn(batch, config.z_dim)) for _ in range(2))
    crossover = torch.where(torch.rand(batch) < 0.5, torch.randint(1, config.num_styles, (batch,)), config.num_styles)
    keep = (torch.arange(config.num_styles)[None] < crossover[:, None])[:, :, None]
    latent = torch.where(keep, first[:, None], second[:, None])
    out: Tensor = network.synthesis(latent, network.draw_noises(batch))
    return out


def train(arguments: argparse.Namespace) -> None:
    """Train, save the averaged generator and a sample sheet."""
    torch.manual_seed(arguments.seed)
    stream = torch.Generator().manual_seed(arguments.seed)
    network, critic = StyleGan2(PORTRAITS), Discriminator(PORTRAITS.channels)
    network.to(memory_format=torch.channels_last)
    critic.to(memory_format=torch.channels_last)
    average = copy.deepcopy(network).requires_grad_(False)
    optimizers = [torch.optim.Adam(m.parameters(), lr=arguments.lr, betas=(0.0, 0.99)) for m in (network, critic)]
    batches = _batches(_photos(arguments.photos), arguments.batch, stream)
    parts: list[Any] = [network, critic, average, *optimizers]
    state_path = arguments.output.with_suffix(".state")
    seen, start = 0, time.monotonic()
    if state_path.exists():
        state = torch.load(state_path, weights_only=True)
        seen = state["seen"]
        for part, saved in zip(parts, state["parts"], strict=True):
            part.load_state_dict(saved)
        torch.manual_seed(arguments.seed + seen)  # a continued run draws on, not again
        stream.manual_seed(arguments.seed + seen)
    first, step = seen, seen // arguments.batch
    while seen < arguments.images:
        lr = arguments.lr * min(1.0, (arguments.images - seen) / (0.2 * arguments.images))
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = lr
        real = next(batches).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bf16):
            with torch.no_grad():
                fake = _fake(network, arguments.batch)
            critic_loss = functional.softplus(critic(fake)).mean() + functional.softplus(-critic(real)).mean()
        optimizers[1].zero_grad()
        critic_loss.backward()
        if step % 16 == 0:
            real.requires_grad_(True)
            (slope,) = torch.autograd.grad(critic(real).sum(), real, create_graph=True)
            (0.5 * arguments.r1_gamma * 16 * slope.square().sum(dim=(1, 2, 3)).mean()).backward()
        optimizers[1].step()

        critic.requires_grad_(False)
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bf16):
            generator_loss = functional.softplus(-critic(_fake(network, arguments.batch))).mean()
        optimizers[0].zero_grad()
        generator_loss.backward()
        optimizers[0].step()
        critic.requires_grad_(True)

        seen, step = seen + arguments.batch, step + 1
        keep = 0.5 ** (arguments.batch / max(1.0, min(10_000, 0.05 * seen)))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - keep)
        if step % 200 == 0 or seen >= arguments.images:
            rate = (seen - first) / (time.monotonic() - start)
            losses = f"critic {critic_loss.item():.3f}, generator {generator_loss.item():.3f}"
            print(f"{seen} images, {rate:.0f} per second, {losses}", flush=True)
            _save(arguments.output, average)
            torch.save(
                {"seen": seen, "parts": [part.state_dict() for part in parts]}, state_path.with_suffix(".partial")
            )
            state_path.with_suffix(".partial").replace(state_path)


@torch.no_grad()
def _save(path: Path, average: StyleGan2) -> None:
    """Write the generator in half precision, and a sheet of 64 samples beside it."""
    save_file({name: value.half().contiguous() for name, value in average.state_dict().items()}, path)
    stream = torch.Generator().manual_seed(1)
    latent = average.mapping(torch.randn(64, average.config.z_dim, generator=stream))
    latent = latent[:, None].expand(-1, average.config.num_styles, -1)
    images = average.synthesis(latent, average.draw_noises(64, stream)).clamp(-1, 1) / 2 + 0.5
    save_image(images, path.with_suffix(".png"), nrow=16, padding=1)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="checkpoint to write (.safetensors)")
    parser.add_argument("--images", type=int, default=375_000, help="images shown to the critic (default %(default)s)")
    parser.add_argument("--photos", type=int, default=30_000, help="portraits rendered (default %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="images per step (default %(default)s)")
    parser.add_argument("--lr", type=float, default=2.5e-3, help="learning rate (default %(default)s)")
    parser.add_argument("--r1-gamma", type=float, default=0.5, help="R1 strength (default %(default)s)")
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16 where it pays")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(arguments)


if __name__ == "__main__":
    main()
