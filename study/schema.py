"""The tables of a results folder: one explicit schema each. `docs/results.md` explains every column."""

from __future__ import annotations

import pyarrow as pa

SCHEMA_VERSION = 3

_IDENTITY = [
    pa.field("phase", pa.string(), nullable=False),  # search | test | test_CONTROL
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
    pa.field("lpips", pa.float64()),  # AlexNet; null without its weights, and of stages
    pa.field("lpips_vgg", pa.float64()),
    pa.field("matching_loss", pa.float64()),
]

_AUTHORS_SCORES = [  # of normalized pixels, as the authors' code computed them; null unless --authors-ranges
    pa.field("ssim_authors", pa.float64()),
    pa.field("lpips_authors", pa.float64()),
    pa.field("lpips_vgg_authors", pa.float64()),
]
_IDENTIFICATION = [  # place of the private image among a gallery, 1 = nearest; null without a gallery
    pa.field("gallery_size", pa.int32()),
    pa.field("rank_psnr_db", pa.int32()),
    pa.field("rank_ssim", pa.int32()),
    pa.field("rank_lpips", pa.int32()),
]

RECONSTRUCTIONS = pa.schema(
    [
        *_IDENTITY,
        pa.field("method", pa.string(), nullable=False),  # gifd | latent | gias | ggl | ig | gi
        pa.field("control", pa.string(), nullable=False),  # none | noise_gradient | other_image | untrained_generator
        pa.field("origin", pa.string(), nullable=False),  # published | search | random | user | warm_start
        pa.field("label", pa.int32(), nullable=False),
        pa.field("label_inferred", pa.int32()),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("defense", pa.string()),  # as --defense says it; null in results from before there was any
        pa.field("answer", pa.string()),  # knows | estimates | ignores | repeats; null without a defense
        pa.field("sharing", pa.string()),  # gradient | fedavg
        pa.field("batch_size", pa.int32()),  # private images behind the shared gradient
        pa.field("batch_id", pa.string()),  # the target_id of the batch's first image; null for single images
        pa.field("victim_accuracy", pa.float64()),  # on new images; null for victims that were not trained
        *_SCORES,
        *_AUTHORS_SCORES,
        *_IDENTIFICATION,
        pa.field("chosen_stage", pa.int32()),  # by matching loss: what the attacker keeps
        pa.field("oracle_stage", pa.int32()),  # by PSNR: what was best
        pa.field("gradient_evaluations", pa.int32(), nullable=False),  # really spent, over all restarts and stages
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),  # ok | diverged | out_of_memory | error | stopped
        pa.field("message", pa.string()),
    ]
)

STAGES = pa.schema(
    [
        *_IDENTITY,
        pa.field("stage", pa.int32(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # features | weights | evolution | pixels
        pa.field("layer", pa.int32()),  # null where no layer is entered (weights, pixels)
        pa.field("steps", pa.int32(), nullable=False),  # as told
        pa.field("steps_taken", pa.int32()),  # fewer where the restart diverged or ran out of patience
        pa.field("lr", pa.float64()),  # null for evolution
        pa.field("feature_radius", pa.float64()),  # l1 radius as used (absolute), null without a ball
        pa.field("latent_radius", pa.float64()),
        pa.field("noise_radius", pa.float64()),
        pa.field("feature_moved_l1", pa.float64()),  # null where the stage has no feature
        *_SCORES,
    ]
)

QUIRKS = ("restart_select", "share_restart_noises", "rgb_skip", "stage_image", "first_step", "spherical")

TRIALS = pa.schema(
    [
        pa.field("phase", pa.string(), nullable=False),
        pa.field("trial", pa.int32(), nullable=False),
        pa.field("attempt", pa.int32(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("control", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        *(pa.field(name, pa.string(), nullable=False) for name in QUIRKS),
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
