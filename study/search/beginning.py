"""How a search begins, before its sampler chooses: given points, single changes to the recipe, those that helped."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from study.plan import StudyPlan

Params = dict[str, float]


class Beginning:
    """The first trials of a search: the published recipe, the plan's points, then single changes.

    `changes[n - 1]` is the n-th change to the recipe's likeness; the first changes nothing.
    """

    def __init__(self, plan: StudyPlan) -> None:
        self.plan, fixed = plan, dict(plan.fixed)
        changes = plan.search_space.first_changes(plan.task_info.generator_shape, budget=plan.budget)
        self.changes = [change for change in changes if not change.keys() & fixed.keys()]

    @property
    def first_change(self) -> int:
        """The place of the first single change."""
        return 1 + len(self.plan.points)

    @property
    def end(self) -> int:
        """The first place that is not decided from the start."""
        return self.first_change + len(self.changes)

    def planned(self, place: int) -> tuple[str, Params] | None:
        """Origin and parameters of the trial at `place`; None past those that are decided from the start."""
        if place == 0:
            return "published", {}
        if place < self.first_change:
            origin, params = self.plan.points[place - 1]
            return origin, dict(params)
        single = self.single(place - self.first_change + 1)
        return None if single is None else ("search", single)

    def single(self, number: int) -> Params | None:
        """The parameters of change `number`, from 1; None past the single changes."""
        return self._point(self.changes[number - 1]) if 1 <= number <= len(self.changes) else None

    def together(self, gains: Mapping[int, float | None], asked: Collection[Mapping[str, float]]) -> Params | None:
        """All changes that did better than none; None before all are known, with fewer than two, or asked already.

        gains: by number of the change, the improvement over the published recipe; None for one that diverged or failed.
        """
        numbers = range(1, len(self.changes) + 1)
        likeness = gains.get(1)
        if likeness is None or not all(number in gains for number in numbers):
            return None
        found = {number: gains[number] for number in numbers}
        better = [number for number, gain in found.items() if gain is not None and gain > likeness]
        point = self._point({name: value for n in better for name, value in self.changes[n - 1].items()})
        return point if len(better) > 1 and point not in asked else None

    def _point(self, changes: Mapping[str, float]) -> Params:
        shape, fixed = self.plan.task_info.generator_shape, dict(self.plan.fixed)
        return self.plan.search_space.point({**changes, **fixed}, shape, budget=self.plan.budget)
