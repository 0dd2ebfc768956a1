from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study.options import read_options
from study.plan import StudyPlan
from study.replay.command import main
from study.replay.curves import Curves, compute_to_reach, reached
from study.replay.pool import PLAN_KEY, Pool
from study.replay.proposers import SAMPLERS, proposer_of
from study.replay.walk import Split, Step, walk
from study.search.beginning import Beginning
from tests.study.replay.pools import write_pool

CONFIGS = 40


@pytest.fixture(scope="module")
def plan() -> StudyPlan:
    return read_options(["--space", "ood", "--dry-run"]).plan


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, plan: StudyPlan) -> Path:
    path = tmp_path_factory.mktemp("pool") / "pool.parquet"
    write_pool(path, plan, configs=CONFIGS, per_domain=8, noise_db=0.5)
    return path


@pytest.fixture(scope="module")
def pool(table: Path) -> Pool:
    return Pool.read(table)


def search(
    pool: Pool, *, sampler: str = "random", racing: str = "off", seed: int = 0, configs: int = 20
) -> Iterator[Step]:
    split = Split.draw(pool, judging=2, per_block=1, seed=seed)
    return walk(pool, split, sampler=sampler, racing=racing, error=0.1, seed=seed, configs=configs, evaluations=0)


def last(steps: Iterator[Step]) -> Step:
    return list(steps)[-1]


def test_a_pool_holds_what_its_table_says(pool: Pool, plan: StudyPlan) -> None:
    assert pool.scores.shape == pool.evaluations.shape == (CONFIGS + 1, 32)
    assert pool.origins[0] == "published"
    assert pool.params[0] == {}
    assert pool.steered.sum() == 24  # photo is in distribution: it does not steer this space
    assert pool.plan == plan


def test_a_metric_that_is_minimized_is_negated(table: Path, pool: Pool) -> None:
    assert np.array_equal(Pool.read(table, metric="matching_loss").scores, pool.scores)


def test_a_table_older_than_a_field_of_the_plan_has_its_default(table: Path, plan: StudyPlan, tmp_path: Path) -> None:
    rows = pq.read_table(table)
    stored = json.loads(plan.to_json())
    del stored["racing_error"]
    old = rows.replace_schema_metadata({PLAN_KEY: json.dumps(stored | {"a_field_of_old": 1}).encode()})
    pq.write_table(old, tmp_path / "old.parquet")
    assert Pool.read(tmp_path / "old.parquet").plan == plan


def test_a_config_is_the_nearest_to_itself_and_to_what_is_beside_it(pool: Pool) -> None:
    everyone = np.arange(1, len(pool.params))
    for config in (1, 7, 23):
        beside = dict(pool.params[config]) | {"lr_first": pool.params[config]["lr_first"] * 1.001}
        assert pool.nearest(pool.params[config], everyone) == config
        assert pool.nearest(beside, everyone) == config


def test_a_parameter_that_only_one_of_two_configs_has_is_a_whole_range_apart(pool: Pool) -> None:
    everyone = np.arange(1, len(pool.params))
    without_balls = next(config for config in everyone if pool.params[config]["balls"] == 0)
    others = everyone[everyone != without_balls]
    assert pool.params[pool.nearest(pool.params[without_balls], others)]["balls"] == 0


def test_no_target_both_steers_and_judges_and_blocks_have_as_many_of_every_domain(pool: Pool) -> None:
    split = Split.draw(pool, judging=2, per_block=3, seed=5)
    steering = np.concatenate(split.blocks)
    assert sorted([*steering, *split.judging]) == list(range(32))
    for block in split.blocks:
        assert sorted(pool.domains[column] for column in block) == sorted([*{*pool.domains}] * 3)


@pytest.mark.parametrize(("judging", "per_block"), [(0, 1), (8, 1), (1, 2), (2, 0)])
def test_a_split_that_leaves_uneven_blocks_or_no_judge_is_refused(pool: Pool, judging: int, per_block: int) -> None:
    with pytest.raises(ValueError, match="targets per domain"):
        Split.draw(pool, judging=judging, per_block=per_block, seed=0)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sampler_tries_every_config_once(pool: Pool, sampler: str) -> None:
    proposer, untried = proposer_of(sampler, pool, seed=1), np.arange(1, len(pool.params))
    seen = []
    while len(untried):
        seen.append(proposer.propose(untried))
        proposer.learn(seen[-1], float(len(seen)), stopped_after=1 if len(seen) % 3 == 0 else None)
        untried = untried[untried != seen[-1]]
    assert sorted(seen) == list(range(1, len(pool.params)))


def test_the_single_changes_of_a_beginning_are_never_stopped(table: Path, plan: StudyPlan, tmp_path: Path) -> None:
    rows = pq.read_table(table)
    num_changes = len(Beginning(plan).changes)
    beginning = pa.compute.and_(pa.compute.greater(rows["trial"], 0), pa.compute.less_equal(rows["trial"], num_changes))
    origins = pa.compute.if_else(beginning, "beginning", rows["origin"])
    place = rows.schema.get_field_index("origin")
    pq.write_table(rows.set_column(place, rows.schema.field("origin"), origins), tmp_path / "begun.parquet")
    steps = list(search(Pool.read(tmp_path / "begun.parquet"), sampler="begun-random", racing="on"))
    whole = 24 * plan.budget
    costs = [after.evaluations - before.evaluations for before, after in itertools.pairwise(steps)]
    assert costs[:num_changes] == [whole] * num_changes
    assert min(costs[num_changes:]) < whole


def test_a_search_is_the_same_with_the_same_seed_and_another_with_another(pool: Pool) -> None:
    first, second = (list(search(pool, sampler="tpe", racing="on")) for _ in range(2))
    assert first == second
    assert first != list(search(pool, sampler="tpe", racing="on", seed=1))


def test_without_racing_every_config_costs_all_its_targets(pool: Pool, plan: StudyPlan) -> None:
    for step in search(pool):
        assert step.evaluations == (step.configs + 1) * 24 * plan.budget


@pytest.mark.parametrize("racing", ["on", "asha", "median"])
def test_a_rule_saves_compute_and_still_finds_a_config_among_the_best(pool: Pool, plan: StudyPlan, racing: str) -> None:
    whole = last(search(pool, configs=CONFIGS)).evaluations
    raced = last(search(pool, racing=racing, configs=CONFIGS))
    assert raced.evaluations < 0.75 * whole
    steering = pool.scores[:, pool.steered].mean(axis=1)
    assert raced.chosen in np.argsort(-steering)[:3]


def test_racing_saves_a_third_where_most_configs_are_much_worse_and_finds_as_good_ones(pool: Pool) -> None:
    off, on = (last(search(pool, racing=racing, configs=CONFIGS)) for racing in ("off", "on"))
    assert on.evaluations <= 0.7 * off.evaluations
    assert on.quality >= off.quality - 0.5


def test_tpe_needs_fewer_configs_than_random_to_find_the_top_where_the_truth_is_simple(pool: Pool) -> None:
    top = set(np.argsort(-pool.scores[:, pool.steered].mean(axis=1))[:3].tolist())

    def needed(sampler: str) -> float:
        walks = [search(pool, sampler=sampler, seed=seed, configs=CONFIGS) for seed in range(8)]
        return float(np.mean([next(step.configs for step in steps if step.chosen in top) for steps in walks]))

    assert needed("tpe") < needed("random")


def test_a_config_that_diverged_is_never_chosen(tmp_path: Path, plan: StudyPlan) -> None:
    write_pool(tmp_path / "pool.parquet", plan, configs=3, per_domain=4, noise_db=0.1, diverged=True)
    pool = Pool.read(tmp_path / "pool.parquet")
    pool.scores[3] += 50  # its other rows are far better than all
    steps = list(search(pool, sampler="tpe", racing="on", configs=3))
    assert steps[-1].configs == 3
    assert all(step.chosen != 3 for step in steps)


def test_a_curve_reaches_a_quality_at_its_first_place_there() -> None:
    curve = np.linspace(0.01, 2.0, 200)
    assert reached(curve, 1.0) == pytest.approx(0.5, abs=0.01)
    assert reached(curve, 3.0) == float("inf")


def test_a_search_twice_as_fast_needs_half_the_compute() -> None:
    def steps(pace: int) -> list[Step]:
        return [Step(10 * n, n, chosen=n, gain=min(1.0, pace * n / 100), quality=0.0) for n in range(101)]

    slow, fast = (
        Curves.of([steps(pace)] * 4, lambda step: step.gain, configs=100, evaluations=1000) for pace in (1, 2)
    )
    ratio, (low, high) = compute_to_reach(fast, slow)
    assert low <= ratio <= high
    assert ratio == pytest.approx(0.5, abs=0.02)


def test_the_command_prints_every_arm_and_writes_every_step(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "steps.parquet"
    command = [str(table), "--samplers", "random,tpe", "--racing", "off,on", "--repeats", "3", "--configs", "12"]
    assert main([*command, "--judging", "2", "--max-concurrent", "1", "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "a race looks at 9, 12, 15 of 18 pairs" in printed
    steps = pq.read_table(output).to_pandas()
    arms = set(zip(steps["sampler"], steps["racing"], strict=True))
    assert arms == {("random", "off"), ("random", "on"), ("tpe", "off"), ("tpe", "on")}
    assert set(steps["repeat"]) == {0, 1, 2}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--samplers", "cmaes"], "cmaes"),
        (["--racing", "maybe"], "maybe"),
        (["--repeats", "1"], "--repeats"),
        (["--configs", "41"], "40 random configs"),
        (["--judging", "8"], "targets per domain"),
        (["--metric", "lpips"], "lpips"),
        (["--steering", "opera"], "opera"),
        (["--output", "steps.txt"], "steps.txt"),
    ],
)
def test_bad_input_is_refused_by_name(
    table: Path, options: list[str], names: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(table), *options]) == 2
    assert names in capsys.readouterr().err


def test_what_is_no_whole_pool_is_refused(table: Path, tmp_path: Path) -> None:
    rows = pq.read_table(table)
    pq.write_table(rows.slice(1), tmp_path / "part.parquet")
    pq.write_table(rows.replace_schema_metadata(None), tmp_path / "plain.parquet")
    (tmp_path / "text.parquet").write_text("no table")
    for name, says in (("part", "every config"), ("plain", "no recorded pool"), ("text", "cannot be read")):
        with pytest.raises(ValueError, match=says):
            Pool.read(tmp_path / f"{name}.parquet")
    lacking = pa.Table.from_batches(rows.filter(pa.compute.greater(rows["trial"], 0)).to_batches(), rows.schema)
    pq.write_table(lacking, tmp_path / "lacking.parquet")
    with pytest.raises(ValueError, match="published recipe"):
        Pool.read(tmp_path / "lacking.parquet")
