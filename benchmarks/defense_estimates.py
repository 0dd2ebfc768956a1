"""How far a shared gradient gives away the defense that was used, and the labels: tables in Markdown.

    python -m benchmarks.defense_estimates

Portraits of split select, in the default domains in turn, on untrained victims of several seeds.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial

import torch
from torch import Tensor

from gifd_ops.defenses.config import Defense, DifferentialPrivacy, Noise, Sparsification, read_defense
from gifd_ops.defenses.defend import defend
from gifd_ops.defenses.estimates import clip_bound, noise_std, pruned_percent
from gifd_ops.defenses.noise import noise_stds
from gifd_ops.defenses.norms import gradient_norms
from gifd_ops.gradients import Observation, observe
from gifd_ops.labels import COUNTINGS, infer_counts, infer_labels, signed_features
from gifd_ops.portraits import SEED_RANGES, draw
from gifd_ops.seeds import derive_seed
from gifd_ops.tasks import PORTRAITS
from gifd_ops.victims import Victim, build_victim

ESTIMATED = ("noise=0.01r", "noise=0.1r", "noise=1r", "noise=10r", "dp=1,0.01", "clipping=0.5r")
PRUNED = ("sparsification=20", "sparsification=90", "sparsification=99")
LABELED = ("none", "noise=0.1r", "noise=1r", "noise=3r", "noise=10r", "sparsification=90", "sparsification=99")
BATCHES = (1, 4, 8, 16, 32)

Rows = Sequence[tuple[str, Callable[[str], str]]]  # a label, and the cell of each victim


def portraits(count: int) -> tuple[Tensor, Tensor]:
    """Images and labels, domain by domain."""
    domains, first = PORTRAITS.default_domains, SEED_RANGES["select"].start
    seeds = range(first, first + count)
    drawn = [draw(seeds[place :: len(domains)], domain=domain) for place, domain in enumerate(domains)]
    images, labels = zip(*drawn, strict=True)
    return torch.cat(images), torch.cat(labels)


@cache
def victims(name: str, count: int) -> list[Victim]:
    """Initializations of a victim."""
    task = PORTRAITS
    return [
        build_victim(
            name,
            seed=seed,
            num_classes=task.num_classes,
            size_px=task.size_px,
            pixel_mean=task.pixel_mean,
            pixel_std=task.pixel_std,
        )
        for seed in range(count)
    ]


def defended(victim: Victim, text: str, images: Tensor, labels: Tensor) -> tuple[Observation, Observation]:
    """What is seen without a defense, and with it."""
    clean = observe(victim, images, labels)
    seeds = [derive_seed("defense", text, place) for place in range(len(images))]
    return clean, defend(clean, read_defense(text), seeds=seeds, victim=victim, images=images, labels=labels)


def estimate_and_truth(defense: Defense, clean: Observation, seen: Observation) -> tuple[Tensor, Tensor]:
    """The attacker's estimate [targets] of a defense's strength, and what it was."""
    match defense:
        case Noise():
            return noise_std(seen.gradients), noise_stds(clean.gradients, defense)
        case DifferentialPrivacy():
            found = noise_std(seen.gradients)
            return found, torch.full_like(found, defense.bound * defense.noise)
        case Sparsification():
            found = pruned_percent(seen.gradients)
            return found, torch.full_like(found, defense.percent)
    return clip_bound(seen.gradients), 0.5 * gradient_norms(clean.gradients)


def show(title: str, rows: Rows, names: list[str]) -> None:
    """A table with a victim a column."""
    print(f"\n{title}\n\n| | {' | '.join(names)} |\n|{'---|' * (1 + len(names))}")
    for label, cell in rows:
        print(f"| {label} | {' | '.join(cell(name) for name in names)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--victims", default="lenet,convnet,resnet18,vit", help="comma separated (%(default)s)")
    parser.add_argument("--tables", default="norms,strengths,percentages,single,counts", help="which (%(default)s)")
    parser.add_argument("--targets", type=int, default=16, help="portraits (default %(default)s)")
    parser.add_argument("--seeds", type=int, default=2, help="initializations of each victim (default %(default)s)")
    parser.add_argument("--batches", type=int, default=8, help="batches of each size (default %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default %(default)s)")
    told = parser.parse_args()
    torch.set_num_threads(told.threads)
    warnings.simplefilter("ignore")
    names = told.victims.split(",")
    images, labels = portraits(told.targets)

    def norms(name: str) -> str:
        found = torch.cat([gradient_norms(observe(v, images, labels).gradients) for v in victims(name, told.seeds)])
        return f"{found.median():.3g} ({found.min():.3g} to {found.max():.3g})"

    def error(name: str, text: str) -> str:
        pairs = (
            estimate_and_truth(read_defense(text), *defended(victim, text, images, labels))
            for victim in victims(name, told.seeds)
        )
        parts = [(found - truth, truth) for found, truth in pairs]
        off, truth = (torch.cat([part[place] for part in parts]) for place in (0, 1))
        if text in PRUNED:
            return f"{off.abs().median():.2f} ({off.abs().max():.2f})"
        relative = (off / truth).abs()
        return f"{relative.median():.1%} ({relative.max():.1%})"

    def single(name: str, text: str) -> str:
        right = []
        for victim in victims(name, told.seeds):
            _, seen = defended(victim, text, images, labels)
            found = infer_labels(seen, signed=signed_features(victim, (3, PORTRAITS.size_px, PORTRAITS.size_px)))
            right.append(found == labels)
        return f"{torch.cat(right).double().mean():.2f}"

    def counted(name: str, size: int, method: str) -> str:
        if method == "distinct" and size > PORTRAITS.num_classes:
            return "none"
        shares = []
        for victim in victims(name, told.seeds):
            seen, truth = batches(victim, size, told.batches)
            found = infer_counts(seen, victim, batch_size=size, method=method)
            shares.append(torch.minimum(found, truth).sum(dim=1) / size)
        return f"{torch.cat(shares).mean():.2f}"

    counts = [
        (f"{size}, {method}", partial(counted, size=size, method=method)) for size in BATCHES for method in COUNTINGS
    ]
    tables: dict[str, tuple[str, Rows]] = {
        "norms": ("Length of the gradient, median (least to largest)", [("norm", norms)]),
        "strengths": (
            "Error of the estimated strength, relative, median (worst)",
            [(text, partial(error, text=text)) for text in ESTIMATED],
        ),
        "percentages": (
            "Error of the estimated percentage, in percent points, median (worst)",
            [(text, partial(error, text=text)) for text in PRUNED],
        ),
        "single": ("Share of single labels inferred rightly", [(text, partial(single, text=text)) for text in LABELED]),
        "counts": ("Share of a batch's labels counted rightly, where they are drawn with repeats", counts),
    }
    print(f"torch {torch.__version__}, {told.targets} portraits, {told.seeds} initializations of each victim")
    for name in told.tables.split(","):
        show(*tables[name], names)


@cache
def batches(victim: Victim, size: int, count: int) -> tuple[Observation, Tensor]:
    """Mean gradients of batches whose labels are drawn alike with repeats, and their counts [batches, classes]."""
    stream, first = torch.Generator().manual_seed(size), SEED_RANGES["select"].start
    labels = torch.randint(PORTRAITS.num_classes, (count, size), generator=stream)
    means: list[tuple[Tensor, ...]] = []
    for place, own in enumerate(labels):
        images, _ = draw(range(first + place * size, first + (place + 1) * size), domain="photo")
        means.append(tuple(gradient.mean(dim=0) for gradient in observe(victim, images, own).gradients))
    gradients = tuple(torch.stack(parts) for parts in zip(*means, strict=True))
    seen = Observation(gradients=gradients, image_shape=(3, PORTRAITS.size_px, PORTRAITS.size_px))
    return seen, torch.stack([torch.bincount(own, minlength=PORTRAITS.num_classes) for own in labels])


if __name__ == "__main__":
    main()
