"""Is our reference mode what the authors' code does, and how much faster is ours? Both are run on the same case.

    python -m benchmarks.against_authors --reference PATH

PATH is a checkout of github.com/ffhibnese/GIFD_Gradient_Inversion_Attack at ff243fe, which is not part of this
repository; it is imported as it is and runs on the CPU. Both sides get one StyleGAN2, one ResNet18 for CIFAR, one image
and the same latents and noise maps; ours runs with `gifd_ops.quirks.REFERENCE`. The balls are small enough to bind.

1. Do they agree? Every loss of every stage and restart is compared, then the stage that is kept and its image. Exit
   status 1 if the label, the kept stage or any of a stage's first ten losses is another one (relative difference above
   1e-5), 2 if PATH is no such checkout.
2. Which is faster? Both attack one row, ours also several fused rows, in turn, round by round, so that a drifting
   machine moves them all. The whole attack is timed and divided by its updates; always in float32, as published.

They are compared in float64. In float32 they agree to rounding at first, but then Adam makes much of little: it
divides by gradients that are almost zero, and what differs by 1e-7 differs by percents some updates later. The authors'
code differs from itself as much; with --dtype float32 its distance to itself in float64 is shown beside ours.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.authors_adapter import (
    COMMIT,
    FILES,
    REPOSITORY,
    Authors,
    changed_files,
    load_authors,
    prepare,
    run_authors,
)
from benchmarks.parity_case import Case, Outcome, drawn_case, golden_case, run_ours

FIRST_LOSSES = 10
TOLERANCE = 1e-5
AUTHORS = "authors' code"
COMMAND = "python -m benchmarks.against_authors --reference PATH --write-golden FILE"


def main() -> int:
    parser = _parser()
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        channels = _channels(arguments)
        authors = load_authors(arguments.reference)
        if arguments.write_golden is not None:
            return _write_golden(arguments.write_golden, authors, changed_files(arguments.reference))
    except ValueError as error:
        parser.error(str(error))  # exits with status 2
    for name in changed_files(arguments.reference):
        print(f"note: {name} is not as it was at {COMMIT}")
    told = f"channels {','.join(map(str, channels))}, {arguments.size_px} px, ResNet18 (CIFAR)"
    print(f"torch {torch.__version__}, 1 thread, {told}")
    agree = arguments.steps == 0 or _compare(authors, arguments, channels)
    if arguments.rounds > 0:
        _time(authors, arguments, channels)
    return 0 if agree else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, required=True, metavar="PATH", help="checkout of the authors' code")
    parser.add_argument("--size-px", type=int, default=32, choices=(32, 64), help="images (default %(default)s)")
    parser.add_argument("--channels", help="of the generator's blocks, comma separated (default 64 up to --size-px)")
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="(default %(default)s)")
    parser.add_argument(
        "--steps", type=int, default=FIRST_LOSSES, help="compared, per stage; 0: none (default %(default)s)"
    )
    parser.add_argument("--restarts", type=int, default=2, help="compared (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="timed after one warm-up; 0: none (default %(default)s)")
    parser.add_argument("--timed-steps", type=int, default=3, help="timed, per stage (default %(default)s)")
    parser.add_argument("--rows", default="1,4", help="our fused rows, comma separated (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, latents and noises (default %(default)s)")
    parser.add_argument("--write-golden", type=Path, metavar="FILE", help="keep the authors' results of a tiny case")
    return parser


def _channels(arguments: argparse.Namespace) -> tuple[int, ...]:
    """One number a block; ValueError if the images that these make cannot be pooled to the size wanted."""
    size_px: int = arguments.size_px
    if arguments.channels is None:
        return (64,) * (size_px // 4).bit_length()
    channels = tuple(int(count) for count in arguments.channels.split(","))
    native_px = 4 * 2 ** (len(channels) - 1)
    if native_px % size_px:
        raise ValueError(f"images of {size_px} px need {(size_px // 4).bit_length()} channels or more, got {channels}")
    return channels


@dataclass(frozen=True, kw_only=True)
class Differences:
    """How far one outcome is from another; losses and scores relatively, images in [0, 1] absolutely."""

    first_losses: float  # largest over the first ten of every stage and restart
    losses: float
    scores: float
    image: float
    same_label: bool
    same_stage: bool

    @property
    def agree(self) -> bool:
        return self.same_label and self.same_stage and self.first_losses <= TOLERANCE


def differences(found: Outcome, expected: Outcome) -> Differences:
    losses = [_relative(own, theirs) for own, theirs in zip(found.losses, expected.losses, strict=True)]
    return Differences(
        first_losses=_largest(stage[:, :FIRST_LOSSES] for stage in losses),
        losses=_largest(losses),
        scores=float(_relative(found.scores, expected.scores).max()),
        image=float((found.image.double() - expected.image.double()).abs().max()),
        same_label=found.label == expected.label,
        same_stage=found.stage == expected.stage,
    )


def _largest(parts: Iterable[Tensor]) -> float:
    """The largest of all numbers; NaN if there is one, which Python's max would pass over."""
    return float(torch.cat([part.flatten() for part in parts]).max())


def _relative(found: Tensor, expected: Tensor) -> Tensor:
    return (found.double() - expected.double()).abs() / expected.double().abs()


def _compare(authors: Authors, arguments: argparse.Namespace, channels: tuple[int, ...]) -> bool:
    """Run both and print their differences; whether they agree."""

    def case_in(dtype: torch.dtype) -> Case:
        return drawn_case(
            channels=channels,
            size_px=arguments.size_px,
            steps=arguments.steps,
            restarts=arguments.restarts,
            starts=arguments.restarts,
            dtype=dtype,
            seed=arguments.seed,
        )

    case = case_in(getattr(torch, arguments.dtype))
    ours, theirs = run_ours(case), run_authors(authors, prepare(authors, case), case)
    found = differences(ours, theirs)
    columns = {"ours": (found, ours)}
    if case.dtype == torch.float32:
        exact = case_in(torch.float64)
        doubled = run_authors(authors, prepare(authors, exact), exact)
        columns["authors' in float64"] = differences(doubled, theirs), doubled
    print(f"{len(case.stages)} stages x {arguments.steps} steps x {arguments.restarts} restarts, {arguments.dtype}")
    print(f"largest differences from the authors' code   {'   '.join(f'{name:>20}' for name in columns)}")
    for name, described in (
        ("first_losses", f"losses, first {FIRST_LOSSES} of a stage (relative)"),
        ("losses", "losses, all (relative)"),
        ("scores", "scores of stages (relative)"),
        ("image", "kept image (of [0, 1])"),
    ):
        print(f"  {described:43}", *(f"{getattr(other, name):20.1e}" for other, _ in columns.values()), sep="   ")
    for name, described in (("stage", "stage that is kept"), ("label", "inferred label")):
        told = f"{described} (authors': {getattr(theirs, name)})"
        print(f"  {told:43}", *(f"{getattr(outcome, name):20}" for _, outcome in columns.values()), sep="   ")
    print("they agree" if found.agree else f"they do NOT agree to {TOLERANCE:g} in label, kept stage and first losses")
    return found.agree


def _time(authors: Authors, arguments: argparse.Namespace, channels: tuple[int, ...]) -> None:
    """Print the time that an update of one row takes, theirs and ours."""
    rows = [int(count) for count in arguments.rows.split(",")]
    case = drawn_case(
        channels=channels,
        size_px=arguments.size_px,
        steps=arguments.timed_steps,
        restarts=1,
        starts=max(rows),
        dtype=torch.float32,
        seed=arguments.seed,
    )
    prepared, fused = prepare(authors, case), [(count, _fused(case, count)) for count in rows]

    def timed() -> Iterator[tuple[str, float]]:
        yield AUTHORS, run_authors(authors, prepared, case).seconds / case.num_updates
        for count, own in fused:
            yield f"ours, {count} fused row{'s' * (count > 1)}", run_ours(own).seconds / case.num_updates / count

    rounds = [dict(timed()) for _ in range(arguments.rounds + 1)][1:]
    medians = {name: statistics.median(times[name] for times in rounds) for name in rounds[0]}
    print(
        f"milliseconds per update and row, float32, {arguments.rounds} rounds of {arguments.timed_steps} steps a stage"
    )
    print(f"  {'':20}     median      least       most   authors' time over this")
    for name, median in medians.items():
        values = [times[name] for times in rounds]
        summary = "   ".join(f"{1000 * value:8.1f}" for value in (median, min(values), max(values)))
        print(f"  {name:20}   {summary}   {medians[AUTHORS] / median:8.2f}")


def _fused(case: Case, rows: int) -> Case:
    """The case with several rows as one batch: its restarts, which must not take turns for that."""
    quirks = replace(case.config.quirks, share_restart_noises=False)
    return replace(case, config=replace(case.config, restarts=rows, quirks=quirks))


def _write_golden(path: Path, authors: Authors, changed: list[str]) -> int:
    """Keep what the authors' code makes of the tiny case."""
    if changed:
        raise ValueError(f"golden numbers come from {COMMIT}, but {changed[0]} is not as it was then; check it out")
    case = golden_case()
    theirs = run_authors(authors, prepare(authors, case), case)
    found = differences(run_ours(case), theirs)
    golden = {
        "about": {
            "what": "benchmarks.parity_case.golden_case() under the authors' implementation of GIFD, float64, CPU",
            "repository": REPOSITORY,
            "commit": COMMIT,
            "sha256_begins": FILES,
            "command": COMMAND,
            "torch": torch.__version__,
        },
        "label": theirs.label,
        "losses": [stage.tolist() for stage in theirs.losses],  # [stages][restarts][steps]
        "scores": theirs.scores.tolist(),  # [stages][restarts]
        "stage": theirs.stage,
        "score": theirs.score,
        "image": theirs.image.tolist(),  # [3][h][w]
    }
    path.write_text(json.dumps(golden, indent=1) + "\n")
    print(f"{path}: ours differs by {found.losses:.1e} in losses, {found.image:.1e} in the image")
    return 0 if found.agree else 1


if __name__ == "__main__":
    raise SystemExit(main())
