"""The command line of `study.launch`, checked and turned into a plan before anything starts."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import socket
import textwrap
from dataclasses import dataclass
from pathlib import Path

from gifd_ops.pictures import scan_pictures
from gifd_ops.seeds import derive_seed
from gifd_ops.tasks import TASKS, USER_DOMAIN, Task
from search_spaces.base import Range
from search_spaces.published import published_scaled
from search_spaces.registry import SPACES, get_space
from study.choices import check_name
from study.plan import METRICS, StudyPlan
from study.schema import TABLES

MOST_TARGETS = 256

DESCRIPTION = """\
Search the settings with which a gradient inversion attack (GIFD) leaks most, and measure what it found on images that
the search never saw. Everything is written to a results folder as Parquet; the same command continues a study that was
interrupted, and a larger --trials extends a finished one.
"""
EXAMPLES = """\
examples:
  python -m study.launch --space ood                                # the default study, a few minutes on two cores
  python -m study.launch --space ood --dry-run                      # the plan and three sampled configs, nothing runs
  python -m study.launch --space ood --images pictures --trials 40  # your own pictures, 40 trials
  python -m study.launch --space in_distribution --victim convnet --set restarts=1 --results results/convnet
  python -m study.launch --space ood --trials 500 --address 10.0.0.1:6379   # on a Ray cluster
"""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A checked command line: the plan, and how to run it."""

    plan: StudyPlan
    trials: int
    results: Path
    max_concurrent: int | None
    address: str | None
    pictures_folder: Path | None
    dry_run: bool


def build_parser() -> argparse.ArgumentParser:
    """The options, grouped by what they decide."""
    parser = argparse.ArgumentParser(
        prog="python -m study.launch",
        description=textwrap.dedent(DESCRIPTION),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what to attack")
    what.add_argument("--task", default="portraits", help=f"generator and images: {', '.join(TASKS)} (%(default)s)")
    what.add_argument("--victim", default="lenet", help="model whose gradient is shared: lenet, convnet (%(default)s)")
    what.add_argument("--domains", help="image domains, comma separated (default: those of the space)")
    what.add_argument("--images", type=_folder, metavar="FOLDER", help="attack your own pictures (sub-folder: class)")
    what.add_argument("--targets-per-domain", type=int, default=4, metavar="N", help="images to tune on (%(default)s)")
    what.add_argument(
        "--test-targets-per-domain", type=int, default=8, metavar="N", help="fresh images to report on (%(default)s)"
    )

    search = parser.add_argument_group("what to search")
    search.add_argument("--space", required=True, help=f"what the attacker may choose: {', '.join(SPACES)}")
    search.add_argument("--metric", default="psnr_db", help=f"what steers: {', '.join(METRICS)} (%(default)s)")
    search.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="freeze a parameter of the space (repeatable)"
    )
    search.add_argument("--seed", type=int, default=0, help="of everything random (%(default)s)")

    long = parser.add_argument_group("how long")
    long.add_argument("--trials", type=int, default=24, help="configs to try, the published recipe first (%(default)s)")
    long.add_argument(
        "--budget", type=int, default=120, help="gradient evaluations per target, equal for all configs (%(default)s)"
    )

    where = parser.add_argument_group("where")
    where.add_argument("--address", default=os.environ.get("RAY_ADDRESS"), help="Ray cluster (RAY_ADDRESS, else local)")
    where.add_argument("--max-concurrent", type=int, metavar="N", help="trials at once (default: one per CPU)")

    results = parser.add_argument_group("results")
    results.add_argument("--results", type=_folder, metavar="FOLDER", help="where they go (results/SPACE)")
    results.add_argument("--keep-targets", action="store_true", help="keep your own pictures in the results as well")
    results.add_argument("--dry-run", action="store_true", help="print the plan and three sampled configs, then stop")
    return parser


def read_options(arguments: list[str] | None) -> Launch:
    """The checked command line. Raises ValueError: rule, value, remedy."""
    options = build_parser().parse_args(arguments)
    space = get_space(check_name("search space", options.space, SPACES))
    task = TASKS[check_name("task", options.task, TASKS)]
    check_name("victim", options.victim, task.victims)
    check_name("metric", options.metric, METRICS)
    _check_counts(options)
    published_scaled(task.generator_shape, budget=options.budget)  # raises if the budget is too small
    ranges = space.ranges(task.generator_shape, budget=options.budget)
    fixed = _read_fixed(options.set, ranges)
    folder: Path | None = options.images
    pictures = None if folder is None else _order_pictures(folder, task, seed=options.seed)
    plan = StudyPlan(
        space=space.name,
        task=task.name,
        victim=options.victim,
        metric=options.metric,
        budget=options.budget,
        seed=options.seed,
        domains=_read_domains(options.domains, space.domains, task, user=pictures is not None),
        targets_per_domain=options.targets_per_domain,
        test_targets_per_domain=options.test_targets_per_domain,
        fixed=tuple(sorted(fixed.items())),
        parameters=tuple((name, ranges[name]) for name in sorted(ranges)),
        checkpoint_sha256=check_checkpoint(task),
        keep_targets=options.keep_targets or pictures is None,
        pictures=pictures,
    )
    results: Path = options.results or Path("results") / space.name
    if results.exists() and not results.is_dir():
        raise ValueError(f"--results needs a folder; {results} is a file")
    plan.check_continues(results)
    if options.address and not options.dry_run:
        check_address(options.address)
    if not (results / "plan.json").exists() and results.is_dir() and _holds_strange_files(results):
        raise ValueError(f"{results} holds files but no plan.json, so it is no study; choose another --results")
    return Launch(
        plan=plan,
        trials=options.trials,
        results=results,
        max_concurrent=options.max_concurrent,
        address=options.address or None,
        pictures_folder=folder,
        dry_run=options.dry_run,
    )


def check_checkpoint(task: Task) -> str:
    """The sha256 of the task's generator weights; ValueError if they are not those of the manifest."""
    if not task.checkpoint.exists():
        raise ValueError(f"the weights {task.checkpoint.name} are missing; reinstall the project or restore the file")
    found = hashlib.sha256(task.checkpoint.read_bytes()).hexdigest()
    expected = json.loads(task.checkpoint.with_suffix(".json").read_text())["sha256"]
    if found != expected:
        raise ValueError(
            f"the weights {task.checkpoint.name} have been altered: sha256 should be {expected}, got {found}; "
            "restore the file (git checkout) or reinstall the project"
        )
    return found


def _holds_strange_files(results: Path) -> bool:
    """Whether a folder holds more than what a study killed in its first second leaves."""
    strange = (path for path in results.iterdir() if path.name not in {*TABLES, ".lock", ".plan.json.partial"})
    return next(strange, None) is not None or any(next((results / t).glob("*"), None) for t in TABLES)


def check_address(address: str) -> None:
    """Raise ValueError if nothing answers at a Ray cluster's address (Ray itself would try for minutes)."""
    if address in ("auto", "local"):
        return
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise ValueError(
            f"--address takes HOST:PORT of a Ray head, or auto, got {address!r}; for a cluster elsewhere, run the "
            "command on one of its nodes"
        )
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"no Ray cluster answers at {address} ({error}); start one there (ray start --head), or leave out "
            "--address and unset RAY_ADDRESS to run on this machine"
        ) from None


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("needs the name of a folder, got an empty one")
    return Path(text)


def _check_counts(options: argparse.Namespace) -> None:
    for name, least, most in (
        ("trials", 1, None),
        ("budget", 2, None),
        ("seed", 0, None),
        ("targets_per_domain", 1, MOST_TARGETS),
        ("test_targets_per_domain", 1, MOST_TARGETS),
        ("max_concurrent", 1, None),
    ):
        value = getattr(options, name)
        if value is not None and (value < least or (most is not None and value > most)):
            allowed = f"{least} or more" if most is None else f"{least} to {most}"
            raise ValueError(f"--{name.replace('_', '-')} must be {allowed}, got {value}")


def _read_domains(asked: str | None, of_space: tuple[str, ...] | None, task: Task, *, user: bool) -> tuple[str, ...]:
    if user:
        if asked is not None:
            raise ValueError("--images replaces the task's domains; leave out --domains or --images")
        return (USER_DOMAIN,)
    if asked is None:
        return of_space or task.default_domains
    names = [check_name("domain", name.strip(), task.domains) for name in asked.split(",")]
    return tuple(domain for domain in task.domains if domain in names)


def _read_fixed(entries: list[str], ranges: dict[str, Range]) -> dict[str, float]:
    fixed = {}
    for entry in entries:
        name, equals, text = entry.partition("=")
        if not equals:
            raise ValueError(f"--set takes NAME=VALUE, got {entry!r}")
        allowed = ranges[check_name("parameter", name, ranges)]
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"--set {name} needs a number, got {text!r}; it may be {allowed}") from None
        if value not in allowed:
            raise ValueError(f"--set {name}={text} lies outside the space: it may be {allowed}")
        fixed[name] = value
    return fixed


def _order_pictures(folder: Path, task: Task, *, seed: int) -> tuple[str, ...]:
    """The pictures (sha256), in an order drawn from the seed: the first are for tuning."""
    found = [picture.sha256 for picture in scan_pictures(folder, num_classes=task.num_classes).values()]
    return tuple(sorted(found, key=lambda digest: derive_seed(seed, "order", digest)))
