"""What answering a defense is worth to an attack: PSNR by answer, as a table in Markdown.

    python -m benchmarks.defense_answers

The published recipe of GIFD, scaled to the budget, on portraits of split select with labels granted, the same seeds
under every answer. Differences are paired by target, with 95 % intervals (t).
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch
from scipy import stats
from torch import Tensor

from gifd_ops.attack import run_attack
from gifd_ops.defenses.config import ANSWERS, answer_to, read_defense
from gifd_ops.defenses.defend import defend
from gifd_ops.generators.loading import load_generator
from gifd_ops.gradients import observe
from gifd_ops.metrics import psnr_db
from gifd_ops.seeds import derive_seed
from gifd_ops.targets import portrait_targets
from gifd_ops.tasks import PORTRAITS
from gifd_ops.victims import build_victim
from search_spaces.published import published_scaled

DEFENSES = "none noise=1r clipping=0.5r sparsification=90 sparsification=99 soteria=50 soteria=90"


def change(values: Tensor) -> str:
    """A mean with its interval."""
    mean, error = float(values.mean()), float(values.std()) / len(values) ** 0.5
    width = float(stats.t.ppf(0.975, len(values) - 1)) * error
    return f"{mean:+.2f} ({mean - width:+.2f} to {mean + width:+.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--victim", default="lenet", help="(%(default)s)")
    parser.add_argument("--defenses", default=DEFENSES, help="separated by spaces (%(default)s)")
    parser.add_argument("--per-domain", type=int, default=4, help="targets of each default domain (%(default)s)")
    parser.add_argument("--budget", type=int, default=80, help="gradients a target (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of targets and victim (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (%(default)s)")
    told = parser.parse_args()
    torch.set_num_threads(told.threads)
    task = PORTRAITS
    domains, size_px = task.default_domains, task.size_px
    targets = portrait_targets("select", domains=domains, per_domain=told.per_domain, seed=told.seed, size_px=size_px)
    images, labels = (torch.stack([t.image for t in targets]), torch.tensor([t.label for t in targets]))
    sizes = {"num_classes": task.num_classes, "size_px": size_px}
    victim = build_victim(told.victim, seed=told.seed, **sizes, pixel_mean=task.pixel_mean, pixel_std=task.pixel_std)
    generator = load_generator(task.checkpoint, size_px=size_px)
    config = published_scaled(task.generator_shape, budget=told.budget)
    clean, seeds = observe(victim, images, labels, grant_labels=True), [target.seed for target in targets]
    print(f"{told.victim}, budget {told.budget}, {len(targets)} targets, dB; differences from who ignores the defense")
    print(f"\n| defense | ignores | {' | '.join(how for how in ANSWERS if how != 'ignores')} |")
    print(f"|{'---|' * (len(ANSWERS) + 1)}")
    for text in told.defenses.split():
        defense = read_defense(text)
        drawn = [derive_seed(seed, "defense") for seed in seeds]
        seen = defend(clean, defense, seeds=drawn, victim=victim, images=images, labels=labels)
        psnr = {}
        for how in ANSWERS if text != "none" else ("ignores",):
            answered = replace(config, answer=answer_to(defense, how))
            psnr[how] = psnr_db(run_attack(seen, generator, victim, answered, seeds=seeds).best.images, images)
        base = psnr.pop("ignores")
        cells = [change(found - base) for found in psnr.values()] or [""] * (len(ANSWERS) - 1)
        print(f"| {text} | {float(base.mean()):.2f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
