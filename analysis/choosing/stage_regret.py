"""What keeping the stage of least matching loss gives up against the stage that leaked most."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.load import Results
from analysis.schedule.means import estimates, mean_by_target
from analysis.schedule.rows import StageRows, read_stages

COLUMNS = ["phase", "settings", "domain", "regret", "low", "high", "num_targets"]


def stage_regrets(results: Results) -> pd.DataFrame:
    """Regret of the stage by matching loss: COLUMNS, in the unit of the stages' metric; all configs, and finalists.

    Best minus kept stage of the same attack on the same target, which is never negative: a ceiling for what knowing the
    best stage could add. A stage's row is that of its best-looking restart, so restarts are not compared here: what
    the other restart would have leaked is not in the ledger.
    """
    parts = [_table(read_stages(results, "search"), "search", "all configs")]
    tested = read_stages(results, "test")
    for settings in ("published", "oracle", "observable"):
        if results.finalists and settings in results.finalists:
            parts.append(_table(tested.of_trial(results.finalists[settings]), "test", settings))
    known = [part for part in parts if not part.empty]
    return pd.concat(known, ignore_index=True) if known else pd.DataFrame(columns=COLUMNS)


def _table(rows: StageRows, phase: str, settings: str) -> pd.DataFrame:
    if not rows.num_attacks:
        return pd.DataFrame(columns=COLUMNS)
    difference = rows.metric.direction * (rows.at(rows.score, rows.best) - rows.at(rows.score, rows.kept))
    means = mean_by_target(
        np.where(rows.last, difference, np.nan),
        cell=np.zeros_like(rows.target),
        target=rows.target,
        shape=(1, len(rows.domains)),
    )
    table = estimates(means, rows.domains, name="regret")
    named = table.rename(columns={"regret_low": "low", "regret_high": "high"})
    return named.assign(phase=phase, settings=settings)[COLUMNS]
