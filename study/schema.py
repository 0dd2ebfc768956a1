"""The tables of a results folder: one explicit schema each. `docs/results.md` explains every column."""

from __future__ import annotations

import pyarrow as pa

SCHEMA_VERSION = 1

_IDENTITY = [
    pa.field("phase", pa.string(), nullable=False),  # search | test
    pa.field("trial", pa.int32(), nullable=False),  # the number of the trial in the search, 0 = published recipe
    pa.field("block", pa.int32(), nullable=False),
    pa.field("attempt", pa.int32(), nullable=False),
    pa.field("target_id", pa.string(), nullable=False),
    pa.field("domain", pa.string(), nullable=False),
    pa.field("split", pa.string(), nullable=False),  # tune | select | test
]
_SCORES = [
    pa.field("psnr_db", pa.float64()),
    pa.field("ssim", pa.float64()),
    pa.field("mse", pa.float64()),
    pa.field("lpips", pa.float64()),
    pa.field("matching_loss", pa.float64()),
]

RECONSTRUCTIONS = pa.schema(
    [
        *_IDENTITY,
        pa.field("origin", pa.string(), nullable=False),  # published | search | user | method
        pa.field("label", pa.int32(), nullable=False),
        pa.field("label_inferred", pa.int32()),
        pa.field("seed", pa.int64(), nullable=False),
        *_SCORES,
        pa.field("chosen_stage", pa.int32()),  # by matching loss: what the attacker keeps
        pa.field("oracle_stage", pa.int32()),  # by PSNR: what was best
        pa.field("gradient_evaluations", pa.int32(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),  # ok | diverged | out_of_memory | error | stopped
        pa.field("message", pa.string()),
    ]
)

STAGES = pa.schema(
    [
        *_IDENTITY,
        pa.field("stage", pa.int32(), nullable=False),
        pa.field("layer", pa.int32(), nullable=False),
        pa.field("steps", pa.int32(), nullable=False),
        pa.field("lr", pa.float64(), nullable=False),
        pa.field("feature_radius", pa.float64()),  # l1 radius as used (absolute), null without a ball
        pa.field("latent_radius", pa.float64()),
        pa.field("noise_radius", pa.float64()),
        pa.field("feature_moved_l1", pa.float64()),  # null where the stage has no feature
        *_SCORES,
    ]
)

TRIALS = pa.schema(
    [
        pa.field("phase", pa.string(), nullable=False),
        pa.field("trial", pa.int32(), nullable=False),
        pa.field("attempt", pa.int32(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("params", pa.map_(pa.string(), pa.float64()), nullable=False),
        pa.field("config", pa.string(), nullable=False),  # the whole attack configuration, JSON
        pa.field("outcome", pa.string()),  # null while it runs
        pa.field("message", pa.string()),
    ]
)

IMAGES = pa.schema(
    [
        *_IDENTITY,
        pa.field("png", pa.binary(), nullable=False),  # 8-bit RGB of the chosen reconstruction
    ]
)

TARGETS = pa.schema(
    [
        pa.field("target_id", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("block", pa.int32(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("png", pa.binary()),  # the private image; null unless the study may keep it
    ]
)

TABLES = {
    "trials": TRIALS,
    "reconstructions": RECONSTRUCTIONS,
    "stages": STAGES,
    "images": IMAGES,
    "targets": TARGETS,
}
