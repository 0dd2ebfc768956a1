"""The words of the command line of `study.launch`."""

from __future__ import annotations

import argparse
import os
import textwrap
from pathlib import Path

from gifd_ops.quirks import CHOICES, COMPAT
from gifd_ops.tasks import TASKS
from search_spaces.recipes import RECIPES
from search_spaces.registry import METHODS, SPACES
from study.conditions import CONTROLS, LABELS
from study.evaluation.protocol import add_protocol_options
from study.plan import METRICS, RACING, SAMPLERS
from study.sharing_options import add_sharing_options
from study.task.choose import PUBLISHED

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
  python -m study.launch --space ood --method ig --controls all     # another attack, with its controls
  python -m study.launch --space in_distribution --victim convnet --set restarts=1 --results results/convnet
  python -m study.launch --space ood --trials 500 --address 10.0.0.1:6379   # on a Ray cluster
"""


def build_parser() -> argparse.ArgumentParser:
    """The options, grouped by what they decide."""
    parser = argparse.ArgumentParser(
        prog="python -m study.launch",
        description=textwrap.dedent(DESCRIPTION),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    victims = ", ".join(sorted({name for task in TASKS.values() for name in task.victims}))
    domains = ", ".join(dict.fromkeys(name for task in TASKS.values() for name in task.domains))
    what = parser.add_argument_group("what to attack")
    what.add_argument(
        "--task",
        default="portraits",
        help=f"generator and images: {', '.join((*TASKS, *PUBLISHED))}, or a FILE.toml of your own (%(default)s)",
    )
    what.add_argument("--data", type=_folder, metavar="FOLDER", help="pictures of --task ffhq or imagenet")
    what.add_argument("--weights", type=Path, metavar="FILE", help="generator of --task ffhq or imagenet")
    what.add_argument(
        "--victim", help=f"model whose gradient is shared: {victims}, or MODULE:FUNCTION (lenet, or the task's own)"
    )
    what.add_argument("--domains", help=f"image domains, comma separated (those of the space), of {domains}")
    what.add_argument("--images", type=_folder, metavar="FOLDER", help="attack your own pictures (sub-folder: class)")
    what.add_argument("--targets-per-domain", type=int, default=4, metavar="N", help="images to tune on (%(default)s)")
    what.add_argument(
        "--test-targets-per-domain", type=int, default=8, metavar="N", help="fresh images to report on (%(default)s)"
    )

    how = parser.add_argument_group("how to attack: held fixed, never searched")
    how.add_argument("--method", default="gifd", help=f"the attack: {', '.join(METHODS)} (%(default)s)")
    how.add_argument("--recipe", help=f"what trial 0 takes for published: {', '.join(RECIPES)} (the task's own)")
    how.add_argument("--control", default="none", help=f"attack something else: {', '.join(CONTROLS)} (%(default)s)")
    how.add_argument("--labels", default="inferred", help=f"how labels are known: {', '.join(LABELS)} (%(default)s)")
    how.add_argument(
        "--compat", default="mended", help=f"{' or '.join(COMPAT)}: the latter does all that the authors' code does"
    )
    how.add_argument(
        "--quirk", action="append", default=[], metavar="NAME=VALUE", help=f"one of these alone: {', '.join(CHOICES)}"
    )
    how.add_argument("--match-layers", metavar="FIRST:END", help="match these layers of the victim only (all)")
    how.add_argument(
        "--patience", type=int, default=0, metavar="N", help="end a stage after N steps without progress (0: never)"
    )

    add_sharing_options(parser)
    search = parser.add_argument_group("what to search")
    search.add_argument("--space", required=True, help=f"what the attacker may choose: {', '.join(SPACES)}")
    search.add_argument(
        "--metric",
        default="psnr_db",
        metavar="NAME[,NAME...]",
        help=f"what counts, several for a Pareto front: {', '.join(METRICS)} (%(default)s)",
    )
    search.add_argument(
        "--objective",
        default="oracle",
        help="who tunes: oracle (by private images), observable (an attacker: by matching loss), both (%(default)s)",
    )
    search.add_argument("--sampler", default="auto", help=f"who chooses: {', '.join(SAMPLERS)} (%(default)s)")
    search.add_argument(
        "--random-share",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="of the trials after the beginning, drawn without looking at results (%(default)s)",
    )
    search.add_argument(
        "--point", type=Path, action="append", default=[], metavar="FILE.toml", help="try these settings (repeatable)"
    )
    search.add_argument(
        "--warm-start", type=_folder, metavar="RESULTS", help="try the best settings of an earlier study too"
    )
    search.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="freeze a parameter of the space (repeatable)"
    )
    search.add_argument("--seed", type=int, default=0, help="of everything random (%(default)s)")

    long = parser.add_argument_group("how long")
    long.add_argument("--trials", type=int, default=32, help="configs to try, the published recipe first (%(default)s)")
    long.add_argument(
        "--budget", type=int, default=120, help="gradient evaluations per target, equal for all configs (%(default)s)"
    )

    long.add_argument("--racing", default="off", help=f"stop trials that cannot win: {', '.join(RACING)} (%(default)s)")
    long.add_argument(
        "--racing-error",
        type=float,
        default=0.10,
        metavar="P",
        help="chance, over all looks, that racing stops a config as good as the best (%(default)s)",
    )

    long.add_argument(
        "--configs-per-trial",
        type=int,
        default=1,
        metavar="K",
        help="configs of one layer schedule that a worker runs as one computation (%(default)s)",
    )

    add_protocol_options(parser)
    measure = parser.add_argument_group("what to measure")
    measure.add_argument(
        "--gallery",
        type=int,
        default=64,
        metavar="N",
        help="images to find the private one among; 0: none (%(default)s)",
    )
    measure.add_argument(
        "--authors-ranges", action="store_true", help="SSIM and LPIPS also of normalized pixels, as once published"
    )

    where = parser.add_argument_group("where")
    where.add_argument("--address", default=os.environ.get("RAY_ADDRESS"), help="Ray cluster (RAY_ADDRESS, else local)")
    where.add_argument("--max-concurrent", type=int, metavar="N", help="trials at once (default: one per CPU)")

    where.add_argument(
        "--block-timeout",
        type=float,
        metavar="SECONDS",
        help="take a worker for hanging after this long in one block (20 times the median)",
    )

    results = parser.add_argument_group("results")
    results.add_argument("--results", type=_folder, metavar="FOLDER", help="where they go (results/SPACE[-METHOD])")
    results.add_argument("--keep-targets", action="store_true", help="keep your own pictures in the results as well")
    results.add_argument(
        "--tensorboard", action="store_true", help="write event files for TensorBoard to RESULTS/tensorboard too"
    )
    results.add_argument(
        "--dry-run", action="store_true", help="print the plan, three sampled configs and what they cost, then stop"
    )
    return parser


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("needs the name of a folder, got an empty one")
    return Path(text)
