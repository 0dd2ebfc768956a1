"""What is about to happen, in a few lines."""

from __future__ import annotations

from gifd_ops.defenses.config import Clipping, DifferentialPrivacy
from gifd_ops.defenses.privacy import guarantee
from gifd_ops.quirks import MENDED
from study.options import Launch
from study.plan import StudyPlan


def heading(launch: Launch) -> list[str]:
    """What is attacked, by what, and where it goes."""
    plan = launch.plan
    count = plan.targets_of("search") * len(plan.domains)
    conditions = [plan.method] * (plan.method != "gifd") + [f"control {plan.control}"] * (plan.control != "none")
    conditions += plan.sharing.differences
    conditions += ["given labels"] * (plan.labels == "given") + ["with quirks"] * (plan.quirks != MENDED)
    lines = [
        f"study {plan.space} on {plan.task}: {''.join(f'{condition}, ' for condition in conditions)}"
        f"victim {plan.victim}, budget {plan.budget} gradient evaluations per "
        f"target, {count} tuning targets in {len(plan.domains)} domain{'s' if len(plan.domains) > 1 else ''} "
        f"({', '.join(plan.domains)})"
    ]
    if plan.reuses_pictures:
        lines.append(
            f"{count} pictures are too few to set some aside: the test attacks the same pictures again, with fresh "
            "victims and seeds"
        )
    lines += _about_defense(plan)
    lines += launch.notes
    if plan.racing == "on" and not _looks(plan):
        lines.append(
            "a race needs 8 steering targets before a trial's last block, and this study has too few: nothing will be "
            "stopped early (give more --targets-per-domain)"
        )
    return [*lines, f"{launch.results}  (Ctrl-C is safe: the same command continues)\n"]


def _about_defense(plan: StudyPlan) -> list[str]:
    """What a defense guarantees, and where it does nothing by construction."""
    defense = plan.sharing.defended_by
    if isinstance(defense, DifferentialPrivacy):
        return [f"{defense}: {guarantee(defense)}"]
    if isinstance(defense, Clipping) and plan.configure({}, origin="published").distance == "cosine":
        return [f"{defense} is void by construction: gradients are compared by their direction, which it keeps"]
    return []


def _looks(plan: StudyPlan) -> tuple[int, ...]:
    """After how many steering targets a race looks at a trial."""
    from study.search.racing import interim_looks  # imports numpy

    return interim_looks(plan.targets_of("search") * len(plan.steered_domains), looks=plan.num_blocks("search"))
