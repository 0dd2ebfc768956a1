"""How much evidence a study is given beyond its search: named protocols, and single steps of them."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

from search_spaces.registry import METHODS
from study.choices import check_name
from study.conditions import read_controls
from study.plan import StudyPlan


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What is run after a search. The finalists are always run on the test targets."""

    select: bool  # several candidates on the select targets, before finalists are chosen
    by_domain: bool  # whether every domain has a choice of its own
    controlled: tuple[str, ...]  # finalists, by criterion, that are run under the controls
    controls: tuple[str, ...]  # under which these are run on the test targets as well
    ablation: bool  # the steps from the published recipe to the tuned settings, each run anew
    methods: tuple[str, ...]  # other attacks, tuned alike


QUICK = Protocol(
    select=False,
    by_domain=False,
    controlled=("published", "oracle", "observable"),
    controls=(),
    ablation=False,
    methods=(),
)
FULL = replace(QUICK, select=True, by_domain=True, controls=read_controls("all"), ablation=True, methods=tuple(METHODS))
PROTOCOLS = {"quick": QUICK, "full": FULL}


def protocol_of_others(protocol: Protocol) -> Protocol:
    """What is run of other attacks beside the first: their choice and its controls."""
    return replace(QUICK, select=protocol.select, controls=protocol.controls, controlled=("oracle",))


def add_protocol_options(parser: argparse.ArgumentParser) -> None:
    """The options that say how much evidence is wanted."""
    group = parser.add_argument_group("how much evidence")
    group.add_argument(
        "--protocol",
        default="quick",
        help="quick: finalists on fresh test images; full: chosen among candidates on images of their own, three "
        "controls, an ablation, every other attack tuned alike (%(default)s)",
    )
    group.add_argument("--controls", metavar="LIST", help="run the finalists under these controls too, or all, or none")
    group.add_argument(
        "--ablation", action="store_true", help="run every step from the published recipe to the tuned settings"
    )
    group.add_argument(
        "--methods", metavar="LIST", help=f"tune these attacks alike, or all, or none, of {', '.join(METHODS)}"
    )


def read_protocol(options: argparse.Namespace, plan: StudyPlan) -> Protocol:
    """What the options ask for. Raises ValueError: rule, value, remedy."""
    protocol = PROTOCOLS[check_name("protocol", options.protocol, PROTOCOLS)]
    if options.controls is not None:
        protocol = replace(protocol, controls=read_controls(options.controls))
    if options.methods is not None:
        protocol = replace(protocol, methods=_read_methods(options.methods))
    if options.ablation:
        protocol = replace(protocol, ablation=True)
    if plan.control != "none":
        if options.controls not in (None, "none"):
            raise ValueError(
                f"--control {plan.control} makes the whole study a control, so its finalists cannot be run under "
                "--controls as well; leave one of them out"
            )
        protocol = replace(protocol, controls=())
    return replace(
        protocol,
        select=protocol.select and plan.targets_of("select") > 0,
        methods=tuple(method for method in protocol.methods if method != plan.method),
    )


def _read_methods(text: str) -> tuple[str, ...]:
    if text in ("all", "none"):
        return tuple(METHODS) if text == "all" else ()
    return tuple(check_name("method", name.strip(), METHODS) for name in text.split(","))
