"""Which trials of a search are asked, and run, together. Plain Python."""

from __future__ import annotations

from itertools import groupby

from study.plan import StudyPlan
from study.search.beginning import Beginning


class Groups:
    """The places of a search in groups of up to `configs_per_trial`, whose configs can run as one computation.

    How a search begins is known: there a group is a run of equal fuse keys. After it the later places of a group are
    asked with the schedule of its first. The plan alone decides, so an interrupted search forms the same groups.
    """

    def __init__(self, plan: StudyPlan, beginning: Beginning) -> None:
        self.size, self.end = plan.configs_per_trial, beginning.end
        self._planned = _planned_groups(plan, beginning) if self.size > 1 else []  # by place

    def of(self, place: int) -> range:
        """The places of the group that a place belongs to."""
        if self.size == 1:
            return range(place, place + 1)
        if place < self.end:
            return self._planned[place]
        first = place - (place - self.end) % self.size
        return range(first, first + self.size)


def _planned_groups(plan: StudyPlan, beginning: Beginning) -> list[range]:
    """For every place of a search's beginning the group it belongs to."""
    keys = []
    for place in range(beginning.end):
        planned = beginning.planned(place)
        assert planned is not None
        origin, params = planned
        keys.append(plan.configure(params, origin=origin).fuse_key or ("alone", place))
    groups: list[range] = []
    for _, run in groupby(range(beginning.end), key=lambda place: keys[place]):
        places = list(run)
        for first in range(places[0], places[-1] + 1, plan.configs_per_trial):
            end = min(first + plan.configs_per_trial, places[-1] + 1)
            groups += [range(first, end)] * (end - first)
    return groups
