"""Settings tuned in one study, valued in another: another victim, generator or defence, the same configs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.crossing import Choices, Crossings, Rule, Worth, choose, cross, value
from analysis.jackknife import jackknife
from analysis.load import Results
from analysis.transfer import NUM_SPLITS
from analysis.valued import Valued, valued_configs

Floats = npt.NDArray[np.float64]
DIGITS = 12  # of a parameter, within which two are the same


@dataclass(frozen=True)
class Carried:
    """The best of a study's settings that another ran too: `trial` there, `trial_here`, by all targets of the former.

    `best`: whether it is the best of its study; `crossed`: whether the same images choose and value, so by halves.
    """

    trial: int
    trial_here: int
    best: bool
    num_shared: int
    num_configs: int  # that the own best is chosen among
    crossed: bool
    rows: pd.DataFrame  # domain, gain, gain_low, gain_high, own_gain, regret, low, high, p_value, num_targets


def shared_trials(tuned: Results, valued: Results) -> pd.DataFrame:
    """tuned, valued: the trials of two searches that asked for the same parameters; the published recipes not among."""
    one, other = (_parameters(study) for study in (tuned, valued))
    names = sorted({str(name) for frame in (one, other) for name in frame})
    one, other = (frame.reindex(columns=names).reset_index() for frame in (one, other))
    if not names:
        return pd.DataFrame(columns=["tuned", "valued"])
    both = one.merge(other, on=names, suffixes=("_tuned", "_valued"))  # NaN, a parameter not asked, equals NaN
    pairs = both.rename(columns={"trial_tuned": "tuned", "trial_valued": "valued"})[["tuned", "valued"]]
    return pairs.drop_duplicates("tuned").drop_duplicates("valued")


def carry(tuned: Results, valued: Results, *, seed: int) -> Carried:
    """What the best settings of `tuned` among those that `valued` ran too are worth on the targets of `valued`.

    The published recipe is among them: a study may have found nothing better. Beside them what its own best is worth;
    both are chosen by the mean of the domains that steered their own search. The own best is chosen on half of the
    targets and valued on the other half, crossed. Where both studies attacked the same images (under other victims),
    the carried settings are chosen on the same halves too; otherwise on all targets of `tuned`, which value nothing
    here. Interval: jackknife over targets.
    Raises ValueError, naming the command that would help, if they share no settings valued on all targets of both.
    """
    here, there = valued_configs(valued), valued_configs(tuned)
    pairs = shared_trials(tuned, valued)
    pairs = pairs[pairs["tuned"].isin(there.trials) & pairs["valued"].isin(here.trials)]
    if pairs.empty:
        raise ValueError(
            f"{valued.path} holds none of the settings of {tuned.path} but the published recipe; "
            f"{warm_start_command(tuned, valued)} would try the best of them"
        )
    pairs = pd.concat([pd.DataFrame({"tuned": [0], "valued": [0]}), pairs])  # what published recipes are needs no run
    rows_there = np.searchsorted(there.trials, pairs["tuned"].to_numpy())
    rows_here = np.searchsorted(here.trials, pairs["valued"].to_numpy())
    crossings = cross(here.domains, num_splits=NUM_SPLITS, seed=seed)
    own = _steered(here.values, crossings, valued)
    whole = _domain_mean(there, tuned)
    best = int(np.argmax(whole[rows_there]))
    crossed = set(here.target_ids) <= set(there.target_ids)
    if crossed:
        order = [list(there.target_ids).index(target) for target in here.target_ids]
        among = _steered(there.values[np.ix_(rows_there, np.array(order))], crossings, tuned)
        chosen = Choices(among.rules, rows_here[among.full], rows_here[among.without])
    else:
        always = Rule(name="carried", uses=())
        chosen = Choices(
            (always,), np.full_like(own.full, rows_here[best]), np.full_like(own.without, rows_here[best])
        )  # fmt: skip
    everywhere = len(crossings.domains)
    against = Choices(
        own.rules * everywhere, np.repeat(own.full, everywhere, 1), np.repeat(own.without, everywhere, 2)
    )  # fmt: skip
    worth = value(here.values, crossings, chosen, against)
    is_best = bool(np.isclose(whole[rows_there[best]], whole.max()))
    trials = int(there.trials[rows_there[best]]), int(here.trials[rows_here[best]])
    return Carried(*trials, is_best, len(pairs), len(here.values), crossed, _rows(worth))


def warm_start_command(tuned: Results, valued: Results) -> str:
    """The command that starts a study like `valued` at the best settings of `tuned`."""
    plan = valued.plan
    options = [f"--{name} {plan[name]}" for name in ("space", "task", "method", "victim", "labels") if plan.get(name)]
    if plan.get("control", "none") != "none":
        options.append(f"--control {plan['control']}")
    options.append(f"--warm-start {tuned.path} --results {valued.path}-from-{tuned.path.name}")
    return f"`python -m study.launch {' '.join(options)}`"


def _steered(values: Floats, crossings: Crossings, study: Results) -> Choices:
    """The best by the mean of the domains that steered the study; of all, where none of them is there."""
    steered = tuple(place for place, name in enumerate(crossings.domains) if name in study.steered_domains)
    uses = steered or tuple(range(len(crossings.domains)))
    return choose(values, crossings, [Rule(name="best", uses=uses)])


def _domain_mean(configs: Valued, study: Results) -> Floats:
    """[configs]: the mean over the steered domains, which count alike."""
    names = [name for name in np.unique(configs.domains) if name in study.steered_domains]
    names = names or list(np.unique(configs.domains))
    means = [configs.values[:, configs.domains == name].mean(axis=1) for name in names]
    return np.asarray(np.mean(means, axis=0))


def _rows(worth: Worth) -> pd.DataFrame:
    """One row per domain, then "all": the mean of the domains."""
    gain = worth.spread(worth.gain, worth.gain_without)
    regret = worth.spread(worth.regret, worth.regret_without)
    counts = worth.crossings.counts
    rows = [
        (name, worth.gain[0, b], gain.low[0, b], gain.high[0, b], worth.gain[0, b] + worth.regret[0, b],
         worth.regret[0, b], regret.low[0, b], regret.high[0, b], regret.p_value[0, b], counts[b])
        for b, name in enumerate(worth.crossings.domains)
    ]  # fmt: skip
    group = worth.crossings.group
    means = [worth.gain[0].mean(), worth.regret[0].mean()]
    gain, regret = (
        jackknife(np.asarray(mean), without[:, 0].mean(axis=1), group)
        for mean, without in zip(means, (worth.gain_without, worth.regret_without), strict=True)
    )
    bounds = [float(bound) for bound in (gain.low, gain.high, regret.low, regret.high, regret.p_value)]
    if np.isnan([row[2] for row in rows]).any():
        bounds = [np.nan] * 5
    rows.append(("all", means[0], *bounds[:2], sum(means), means[1], *bounds[2:], sum(counts)))
    columns = ["domain", "gain", "gain_low", "gain_high", "own_gain", "regret", "low", "high", "p_value", "num_targets"]
    return pd.DataFrame(rows, columns=columns)


def _parameters(study: Results) -> pd.DataFrame:
    return study.parameters().astype(np.float64).round(DIGITS)
