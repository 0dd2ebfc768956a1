"""Milliseconds per row and gradient evaluation of a whole attack, by victim, size, fused rows and path; no Ray needed.

    python -m benchmarks.iteration
    python -m benchmarks.iteration --rows 8 --configs 1,4 --ways fused,"in turn"

Cells are timed in turn, round by round, so that a drifting machine moves them all; the median is shown. Images of 32 px
come from the embedded generator, others from an untrained StyleGAN2 of 64 channels. Path `autograd` differentiates the
graph of the gradients, the reference; `first order` is what attacks take. Several configs, each of so many rows, are
the published recipe at other learning rates and shares of the budget: fused into one computation, or in turn.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

import gifd_ops.objective
from benchmarks.timing import in_turns
from gifd_ops.attack import run_attacks
from gifd_ops.config import AttackConfig
from gifd_ops.first_order import matching_loss
from gifd_ops.generators.loading import build_generator, load_generator
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.generators.stylegan2_network import StyleGan2Config
from gifd_ops.gradients import Observation, observe
from gifd_ops.matching import GradientMatching
from gifd_ops.portraits import SEED_RANGES, draw
from gifd_ops.tasks import PORTRAITS
from gifd_ops.victims import Victim, build_victim
from search_spaces.curves import apportion, geometric
from search_spaces.published import published_scaled

PATHS = ("first order", "autograd")
WAYS = ("fused", "in turn")


@contextmanager
def on_path(path: str) -> Iterator[None]:
    """The matching loss taken the named way, as long as the body runs."""
    if path == "autograd":
        setattr(gifd_ops.objective, "matching_loss", by_autograd)  # noqa: B010
    try:
        yield
    finally:
        setattr(gifd_ops.objective, "matching_loss", matching_loss)  # noqa: B010


def by_autograd(images: Tensor, matching: GradientMatching) -> Tensor:
    return matching(images)


def a_generator(size_px: int) -> StyleGan2Generator:
    """The embedded one, or an untrained one where that is too small or too large."""
    if size_px == PORTRAITS.size_px:
        return load_generator(PORTRAITS.checkpoint, size_px=size_px)
    channels = (64,) * (size_px // 4).bit_length()
    return build_generator(StyleGan2Config(channels=channels, z_dim=64, w_dim=64, mapping_layers=2), size_px=size_px)


def a_victim(name: str, size_px: int) -> Victim:
    return build_victim(
        name,
        seed=1,
        num_classes=PORTRAITS.num_classes,
        size_px=size_px,
        pixel_mean=PORTRAITS.pixel_mean,
        pixel_std=PORTRAITS.pixel_std,
    )


def on_device(observation: Observation, device: str) -> Observation:
    gradients = tuple(gradient.to(device) for gradient in observation.gradients)
    return Observation(gradients=gradients, image_shape=observation.image_shape)


def variants(config: AttackConfig, count: int) -> list[AttackConfig]:
    """Configs of one budget that may be fused: the first is `config`, the others descend faster or slower, with other
    shares of the budget for each stage.
    """
    budget, found = config.gradient_evaluations // config.restarts, [config]
    for place in range(1, count):
        tilt = 2.0 ** ((place + 1) // 2 * (-1) ** place)  # a half, twice, a quarter, four times, ...
        evaluations = apportion(budget, geometric(1.0, tilt, len(config.stages)), least=2)
        stages = (
            replace(stage, steps=spent - 1, lr=stage.lr * tilt)
            for stage, spent in zip(config.stages, evaluations, strict=True)
        )
        found.append(replace(config, stages=tuple(stages)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--victims", default="lenet,convnet", help="comma separated (default %(default)s)")
    parser.add_argument("--sizes-px", default="32", help="of images, comma separated (default %(default)s)")
    parser.add_argument("--rows", default="1,4,8,16", help="fused rows, comma separated (default %(default)s)")
    parser.add_argument("--configs", default="1", help="of so many rows each, comma separated (default %(default)s)")
    parser.add_argument("--ways", default=WAYS[0], help=f"of {', '.join(WAYS)}, comma separated (%(default)s)")
    parser.add_argument("--paths", default=PATHS[0], help=f"of {', '.join(PATHS)}, comma separated (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds after one warm-up (default %(default)s)")
    parser.add_argument("--budget", type=int, default=24, help="evaluations per run (default %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default %(default)s)")
    parser.add_argument("--device", default="cpu", help="(default %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    told = (arguments.victims, arguments.sizes_px, arguments.rows, arguments.configs, arguments.ways, arguments.paths)
    cells = {
        f"{name:9} {size_px:>3}   {rows:>4}   {configs:>7}   {way:7}   {path:11}": _cell(
            name, int(size_px), int(rows), int(configs), way, path, arguments
        )
        for name, size_px, rows, configs, way, path in product(*(each.split(",") for each in told))
    }
    seconds = in_turns(cells, rounds=arguments.rounds)
    print(f"torch {torch.__version__}, {arguments.threads} thread(s), {arguments.device}, published recipe")
    print("victim     px   rows   configs   way       path          ms per row and evaluation (median, least, most)")
    for name, values in seconds.items():
        rows = int(name.split()[2]) * int(name.split()[3])
        each = [1000 * value / rows / arguments.budget for value in values]
        print(f"{name}   {statistics.median(each):7.2f}   {min(each):7.2f}   {max(each):7.2f}")


def _cell(
    name: str, size_px: int, rows: int, configs: int, way: str, path: str, arguments: argparse.Namespace
) -> Callable[[], None]:
    """One attack with each of so many configs, ready to be run."""
    victim, generator = a_victim(name, size_px), a_generator(size_px)
    images, labels = draw(SEED_RANGES["tune"][:rows], domain="photo", size_px=size_px)
    observation = on_device(observe(victim, images, labels), arguments.device)
    victim.to(arguments.device)
    generator = StyleGan2Generator(generator.network.to(arguments.device), size_px=size_px)
    told = variants(published_scaled(generator.shape, budget=arguments.budget), configs)
    batches = [told] if way == "fused" else [[config] for config in told]

    def attack() -> None:
        with on_path(path):
            for batch in batches:
                run_attacks(observation, generator, victim, batch, seeds=range(rows))
        if arguments.device != "cpu":
            torch.cuda.synchronize()

    return attack


if __name__ == "__main__":
    main()
