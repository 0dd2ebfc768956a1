"""The options that say what clients share, and what is known of it. Contradictions are refused here, or rehearsed."""

from __future__ import annotations

import argparse
from typing import get_args

from gifd_ops.defenses.config import ANSWERS, FORMS, DifferentialPrivacy, How, NoDefense, read_defense
from gifd_ops.protocols import ClientProtocol, Kind, VictimMode
from gifd_ops.victim_states import Untrained, Weights, read_victim_state
from study.choices import check_name
from study.sharing import MOST_IMAGES, Sharing

_LOCAL = ("local_steps", "local_lr", "local_batch_size")


def add_sharing_options(parser: argparse.ArgumentParser) -> None:
    """The options, in a group of their own."""
    group = parser.add_argument_group("what clients share: held fixed, never searched (docs/conditions.md)")
    group.add_argument(
        "--defense", default="none", help=f"{', '.join(FORMS)}; 0.1r: relative to the norm (%(default)s)"
    )
    group.add_argument(
        "--answer", help=f"what the attacker makes of the defense: {', '.join(ANSWERS)} (knows where there is one)"
    )
    group.add_argument(
        "--sharing",
        default="gradient",
        help=f"what is sent: {', '.join(get_args(Kind))}; --protocol is how much evidence a study gets (%(default)s)",
    )
    group.add_argument("--local-steps", type=int, metavar="N", help="SGD steps of a fedavg client (1)")
    group.add_argument("--local-lr", type=float, metavar="RATE", help="of these steps; fedavg needs it")
    group.add_argument("--local-batch-size", type=int, metavar="N", help="images of a local step (all)")
    group.add_argument(
        "--batch-size",
        type=int,
        default=1,
        metavar="N",
        help=f"private images behind a gradient, 1 to {MOST_IMAGES} (%(default)s)",
    )
    group.add_argument(
        "--victim-mode", default="eval", help="batch normalization: eval by running statistics, train by the batch's"
    )
    group.add_argument("--victim-state", default="untrained", help="untrained, or epochs=K on portraits (%(default)s)")


def read_sharing(options: argparse.Namespace) -> Sharing:
    """What the options say. Raises ValueError: rule, value, remedy."""
    defense = read_defense(options.defense)
    check_name("way of sharing", options.sharing, get_args(Kind))
    _check_local(options)
    if isinstance(defense, DifferentialPrivacy) and options.sharing == "fedavg":
        raise ValueError(
            f"--defense {defense} is one private release of a gradient, and --sharing fedavg shares a trained update, "
            "whose examples cannot be clipped one by one; use --sharing gradient, or another defense"
        )
    if not 1 <= options.batch_size <= MOST_IMAGES:
        raise ValueError(f"--batch-size must be 1 to {MOST_IMAGES}, got {options.batch_size}")
    for name in ("targets_per_domain", "test_targets_per_domain"):
        _check_whole(name, getattr(options, name), batch_size=options.batch_size)
    if options.batch_size > 1 and options.racing != "off":
        raise ValueError(
            f"--racing {options.racing} takes images for independent, and those of one batch are not; leave it out, or "
            "use --batch-size 1"
        )
    protocol = ClientProtocol(
        kind=options.sharing,
        local_steps=options.local_steps or 1,
        local_lr=options.local_lr,
        local_batch_size=options.local_batch_size,
        victim_mode=check_name("victim mode", options.victim_mode, get_args(VictimMode)),
    )
    protocol.check_fits(options.batch_size)
    return Sharing(
        defense=str(defense),
        answer=_read_answer(options, defended=not isinstance(defense, NoDefense)),
        protocol=protocol,
        batch_size=options.batch_size,
        victim_state=_read_state(options),
    )


def _read_answer(options: argparse.Namespace, *, defended: bool) -> How:
    """The answer; where it is not given, an attacker that knows, and in the authors' code one that repeats."""
    if options.answer is None:
        return ("repeats" if options.compat == "reference" else "knows") if defended else "ignores"
    answer = check_name("answer", options.answer, ANSWERS)
    if not defended:
        raise ValueError(
            f"--answer {answer} needs a defense to answer, and there is none; leave it out or give --defense"
        )
    return answer


def _read_state(options: argparse.Namespace) -> str:
    state = read_victim_state(options.victim_state)
    if isinstance(state, Weights):
        raise ValueError(
            f"--victim-state takes untrained or epochs=K, got the file {options.victim_state}: every target of a study "
            "has a victim of its own, which one file cannot give; use epochs=K"
        )
    if not isinstance(state, Untrained) and options.task != "portraits":
        raise ValueError(
            f"--victim-state {state} trains on portraits, which --task {options.task} does not have; use untrained"
        )
    return str(state)


def _check_local(options: argparse.Namespace) -> None:
    given = [name for name in _LOCAL if getattr(options, name) is not None]
    if options.sharing != "fedavg" and given:
        name = given[0].replace("_", "-")
        raise ValueError(
            f"--{name} {getattr(options, given[0])} is of clients that train, and --sharing {options.sharing} trains "
            f"nothing; give --sharing fedavg, or leave --{name} out"
        )
    for name, value in ((name, getattr(options, name)) for name in given):
        if name != "local_lr" and value < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be 1 or more, got {value}")
    if options.sharing == "fedavg" and (options.local_lr is None or not 0 < options.local_lr < float("inf")):
        raise ValueError(f"--sharing fedavg needs a --local-lr above 0, the clients' rate, got {options.local_lr}")


def _check_whole(name: str, count: int, *, batch_size: int) -> None:
    if count % batch_size:
        flag, more = name.replace("_", "-"), count + batch_size - count % batch_size
        raise ValueError(
            f"--{flag} counts private images, which must make whole batches of --batch-size {batch_size}, got {count}; "
            f"give --{flag} {more}"
        )
