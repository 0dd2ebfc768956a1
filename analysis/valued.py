"""The configs of a search that were valued on every tuning target: what choices can be made among, fairly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.improvement import paired_improvement, target_scores
from analysis.load import Results

DRAWN = "random"  # the origin of configs that were drawn without a look at results


@dataclass(frozen=True)
class Valued:
    """`values` [configs, targets]: paired gain over the published recipe.

    Of each config its trial and whether it was `drawn` at random; of each target its domain and id, and the recipe's
    own score (`published`).
    """

    values: npt.NDArray[np.float64]
    trials: npt.NDArray[np.int64]
    drawn: npt.NDArray[np.bool_]
    domains: npt.NDArray[np.str_]
    target_ids: npt.NDArray[np.str_]
    published: npt.NDArray[np.float64]


def valued_configs(results: Results) -> Valued:
    """Of the search, the published recipe included, without configs that were stopped early or diverged somewhere.

    Without a value on a domain a config can neither be chosen nor judged there. Stopping looked at the same targets,
    which leaves the survivors slightly dependent between domains. Raises ValueError if fewer than two are left.
    """
    column = results.metric.column
    rows = results.reconstructions(["phase", "trial", "origin", "domain", "target_id", column], "search")
    drawn = rows.loc[rows["origin"] == DRAWN, "trial"].unique()
    improvements = paired_improvement(rows.drop(columns="origin"), metric=results.metric)
    wide = improvements.pivot(index="trial", columns=["domain", "target_id"], values="improvement").sort_index(axis=1)
    complete = wide[wide.notna().all(axis=1)]
    if len(complete) < 2:
        raise ValueError(
            "transfer needs at least two configs that were valued on every tuning target, as was the published recipe; "
            f"{results.path} holds {len(complete)}; continue the study with more trials"
        )
    trials = complete.index.to_numpy(dtype=np.int64)
    domains, target_ids = (np.array(complete.columns.get_level_values(level), dtype=np.str_) for level in (0, 1))
    recipe = target_scores(rows[rows["trial"] == 0], results.metric).set_index("target_id")["score"]
    published = recipe.reindex(target_ids).to_numpy(dtype=np.float64)
    values = complete.to_numpy(dtype=np.float64)
    return Valued(values, trials, np.isin(trials, drawn), domains, target_ids, published)
