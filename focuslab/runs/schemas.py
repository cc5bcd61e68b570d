"""The shapes of the files of each kind of run; what they hold is said in the design and where they are written."""

from focuslab.runs import info
from focuslab.runs.shapes import (
    LABEL,
    LARGEST,
    Anything,
    Fields,
    Flag,
    Items,
    Maybe,
    Named,
    Number,
    NumberText,
    Text,
    Wrong,
)

LENGTH = Number(0.01, 1e6)
DURATION = Number(1e-9, 1e9)
AMOUNT = Number(0)
COUNT = Number(0, 1e9, whole=True)
SHARE = Number(0, 1)
RATIO = Number(1e-6, 1e6)
VALUE = Number(-LARGEST, LARGEST)
NAME = Text(LABEL, least=1)
SIDE = 4096
"""Most mel rows or time bins of a matrix that is drawn."""

INFO = Fields(
    {
        "command": NAME,
        "model": Fields(
            {"name": Text(1000, least=1)},
            {"unet_parameters": COUNT, "unet_fingerprint": Text(1000), "weights": Named(Text(LABEL))},
        ),
        "parameters": Named(Anything()),
        "machine": Named(Anything(4)),
        "versions": Named(Text(LABEL)),
        "device": Text(LABEL),
        "dtype": Text(LABEL),
        "seed": Maybe(Number(0, whole=True)),
        "prompts": Items(Text(), 1_000_000),
    },
    {"grids": Named(Anything(4)), "started": Text(LABEL), "ended": Text(LABEL)},
)

_MODULE = Fields(
    {"name": Text(1000, least=1), "kind": NAME},
    {"calls": COUNT, "inclusive_seconds": AMOUNT, "exclusive_seconds": AMOUNT, "flops": AMOUNT},
)
_SKIPPED = Fields({"seconds": LENGTH, "needed_bytes": AMOUNT, "free_bytes": AMOUNT}, {"method": NAME})
_STAGE = Fields({"seconds": LENGTH, "stage": NAME}, {"stage_seconds_median": DURATION, "note": Text()})


def _once(what: str, *key: str):
    """A check that no two rows of `what` have the same key: of two such rows nobody can tell which is right."""

    def check(found: dict, where: str, gaps: list[str]) -> None:
        keys = [tuple(row[name] for name in key) for row in found[what]]
        twice = next((k for i, k in enumerate(keys) if k in keys[:i]), None)
        if twice is not None:
            raise Wrong(f"{where}.{what}", f"one row for each {' and '.join(key)}", twice)

    return check


def _both_ends(found: dict, where: str, gaps: list[str]) -> None:
    """Of an interval both ends are there, or neither."""
    for name in found:
        other = f"{name[:-3]}high"
        if name.endswith("low") and other in found and (found[name] is None) != (found[other] is None):
            gaps.append(f"{where} has only one of {name} and {other}; taken as not measured")
            found[name] = found[other] = None


PROFILE = Fields(
    {
        "rows": Items(
            Fields(
                {"seconds": LENGTH, "method": NAME, "step_seconds_median": DURATION},
                {
                    "sites": COUNT,
                    "step_seconds": Items(DURATION),
                    "step_seconds_p10": DURATION,
                    "step_seconds_p90": DURATION,
                    "speedup_vs_dense": RATIO,
                    "peak_bytes": AMOUNT,
                    "held_bytes": AMOUNT,
                    "predicted_peak_bytes": AMOUNT,
                    "flops_per_step": AMOUNT,
                    "kept_pairs": SHARE,
                    "bound_seconds": DURATION,
                    "ideal_seconds": DURATION,
                    "share_of_ideal": RATIO,
                    "generation_seconds_projected": DURATION,
                    "kind_share": Named(SHARE, 20),
                    "kind_flop_share": Named(SHARE, 20),
                    "modules": Items(_MODULE),
                },
            ),
            5_000,
        )
    },
    {
        "stages": Items(_STAGE),
        "skipped": Items(_SKIPPED),
        "shares_of_eager": Flag(),
        "instrumented_over_plain": RATIO,
        "projected_steps": COUNT,
    },
    _once("rows", "seconds", "method"),
)


def _fits_its_grid(row: dict, where: str, gaps: list[str]) -> None:
    """What is drawn side by side has the same number of entries, or is taken as not recorded."""
    matrix, lag = row["rows"], row["lag"]
    if matrix and (len(matrix) != row["mel_rows"] or any(len(line) != row["mel_rows"] for line in matrix)):
        gaps.append(f"{where}.rows is no matrix of {row['mel_rows']} x {row['mel_rows']}; taken as not measured")
        row["rows"] = []
    if lag and len({len(values) for values in lag.values()}) != 1:
        gaps.append(f"{where}.lag has lists of different lengths; taken as not measured")
        row["lag"] = None
    _both_ends(row, where, gaps)


_BY_FRACTION = Named(Maybe(AMOUNT), 50, NumberText())
_LAG = Fields({name: Items(Maybe(AMOUNT), SIDE, whole=True) for name in ("middles", "own_lift", "other_lift")})
_STEP = Fields(
    {"step": COUNT, "lift": RATIO},
    {"timestep": VALUE, "lift_low": AMOUNT, "lift_high": AMOUNT, "entropy": VALUE},
    _both_ends,
)
_PLACE = Fields(
    {"name": Text(1000, least=1), "seconds": LENGTH, "time": COUNT, "mel_rows": Number(1, SIDE, whole=True)},
    {
        "block": NAME,
        "level": COUNT,
        "sites": COUNT,
        "heads": COUNT,
        "chance": SHARE,
        "prompts": COUNT,
        "same_frequency_mass": SHARE,
        "same_frequency_mass_std": AMOUNT,
        **dict.fromkeys(("lift", "lift_low", "lift_high", "best_head_lift"), AMOUNT),
        "lift_heads": Items(AMOUNT, 10_000),
        "heads_above_chance": COUNT,
        "best_head": Fields({"site": Text(1000), "head": COUNT}),
        "by_step": Items(_STEP, 1_000),
        **dict.fromkeys(("entropy", "entropy_low", "entropy_high", "uniform_entropy", "training_entropy"), VALUE),
        **dict.fromkeys(("entropy_growth", "entropy_growth_low", "entropy_growth_high", "uniform_growth"), VALUE),
        **{f"{kind}{end}": _BY_FRACTION for kind in ("recall", "output_error") for end in ("", "_low", "_high")},
        "recall_chance": _BY_FRACTION,
        "rows": Items(Items(AMOUNT, SIDE, whole=True), SIDE, whole=True),
        "lag": _LAG,
        "verdict": Text(10_000),
    },
    _fits_its_grid,
)
ATTENTION = Fields(
    {"blocks": Items(_PLACE, 5_000), "training_seconds": LENGTH},
    {
        "sites": Items(_PLACE, 20_000),
        "interval": Fields({}, {"level": SHARE, "over": NAME, "resamples": COUNT, "note": Text()}),
        "training_length": LENGTH,
        "log_sum_exp": Text(LABEL),
        "skipped": Items(_SKIPPED),
        "capture_over_plain": RATIO,
        "peak_bytes": AMOUNT,
    },
    _once("blocks", "seconds", "name"),
)

_MEASURED = {"value": VALUE, "low": VALUE, "high": VALUE, "n": COUNT}
_METRIC_OF = {"embedder": NAME, "checkpoint": Text(1000), "protocol": Text(), "reference": NAME}
_METRIC = Fields(
    {},
    {**_MEASURED, **_METRIC_OF, "minus_dense": Fields({}, _MEASURED, _both_ends), "reason": Text(1000)},
    _both_ends,
)
EVALUATION = Fields(
    {
        "rows": Items(
            Fields(
                {
                    "seconds": LENGTH,
                    "method": NAME,
                    "metrics": Named(_METRIC, 100),
                },
                {
                    "n": COUNT,
                    "excluded": Named(COUNT, 20),
                    **dict.fromkeys(("step_seconds_median", "step_seconds_p10", "step_seconds_p90"), DURATION),
                    **dict.fromkeys(("speedup_vs_dense", "speedup_low", "speedup_high"), RATIO),
                    **dict.fromkeys(("generation_seconds", "scoring_seconds"), AMOUNT),
                },
                _both_ends,
            ),
            5_000,
        )
    },
    {
        "metrics": Named(Fields({}, {"title": Text(1000), "unit": Text(LABEL), "better": NAME, **_METRIC_OF}), 100),
        "reference": Anything(4),
        "items": Named(COUNT, 20),
        "scorer_is_own": Flag(),
        "scoring_over_generating": AMOUNT,
        "footnotes": Items(Text(), 200),
        "skipped": Items(_SKIPPED),
    },
    _once("rows", "seconds", "method"),
)
ITEM = Fields(
    {
        "kind": NAME,
        "prompt": COUNT,
        "seconds": LENGTH,
        "method": NAME,
        "seed": Number(0, whole=True),
        "status": NAME,
        "audio": Text(1000, least=1),
    },
    {"step_seconds": DURATION, "denoising_seconds": DURATION, "values": Named(VALUE, 100)},
)

GENERATION = Fields(
    {
        "model": Fields({"name": Text(1000, least=1)}),
        "prompt": Text(),
        "seconds": LENGTH,
        "seed": Number(0, whole=True),
        "method": Text(10_000, least=1),
    },
    {
        "steps": COUNT,
        "guidance_scale": VALUE,
        "sites": Items(Text(1000)),
        "plan": Anything(2),
        "sampling_rate": COUNT,
        "wall_seconds": DURATION,
        "device": Text(LABEL),
        "dtype": Text(LABEL),
        "machine": Anything(),
        "versions": Named(Text(LABEL)),
        "made": Text(LABEL),
    },
)


_POINT = Fields(
    {"step_seconds": DURATION, "error": AMOUNT, "speedup": RATIO},
    {
        "error_low": AMOUNT,
        "error_high": AMOUNT,
        "methods": Named(NAME),
        "predicted_from_flops": Flag(),
        "timed": Flag(),
    },
)
_GROUP = Fields(
    {"group": NAME, "taken": Flag()},
    {
        "sites": COUNT,
        "method": NAME,
        **dict.fromkeys(("lift", "recall", "local_error", "error"), AMOUNT),
        "saved_seconds": VALUE,
        "predicted": Flag(),
        "verdict": NAME,
        "reason": Text(1000),
    },
)
_SITE = Fields(
    {"name": Text(1000, least=1), "block": NAME},
    {"mel_rows": COUNT, "lift": AMOUNT, "saved_seconds": VALUE, "saved_share": VALUE, "method": NAME},
)
_BUDGET = Fields({}, {"max_error": AMOUNT, "min_speedup": AMOUNT})
CHOICE = Fields(
    {
        "lengths": Items(
            Fields(
                {"seconds": LENGTH, "dense_step_seconds": DURATION, "points": Named(_POINT, 50)},
                {
                    "frontier": Items(Items(AMOUNT, 2, whole=True), 10_000),
                    "groups": Items(_GROUP, 1_000),
                    "budget": _BUDGET,
                    "gain_method": NAME,
                    "sites": Items(_SITE, 10_000),
                },
            ),
            200,
            least=1,
        ),
        "crossover": Text(1000),
        "budget": _BUDGET,
        "combination": Fields(
            {"exponent": AMOUNT}, {**dict.fromkeys(("misfit", "low", "high"), AMOUNT), "runs": COUNT}
        ),
    },
    {"crossover_seconds": LENGTH},
    _once("lengths", "seconds"),
)
_DISTANCES = ("error", "log_mel_l1", "rms_ratio", "centroid_ratio")
PROOF = Fields(
    {
        "rows": Items(
            Fields(
                {"seconds": LENGTH, "method": NAME, "step_seconds_median": DURATION},
                {
                    "step_seconds_p10": DURATION,
                    "step_seconds_p90": DURATION,
                    "speedup_vs_dense": RATIO,
                    **dict.fromkeys(("dense_steps", "prompts", "n", "sounds", "silent"), COUNT),
                    **{f"{name}{end}": AMOUNT for name in _DISTANCES for end in ("", "_low", "_high")},
                    "predicted": _POINT,
                    "time_off": VALUE,
                    "error_off": VALUE,
                    "missed": Items(Text(1000), 20),
                },
                _both_ends,
            ),
            5_000,
        )
    },
    {"steps": COUNT, "missed": Items(Text(1000), 200)},
    _once("rows", "seconds", "method"),
)
_MEASURED = Fields({"value": VALUE}, {"low": VALUE, "high": VALUE}, _both_ends)
QUALITY = Fields(
    {},
    {
        "quality": Named(
            Fields(
                {
                    "seconds": LENGTH,
                    "method": NAME,
                    "metric": NAME,
                    "better": NAME,
                    "quality": _MEASURED,
                    "decided_by": NAME,
                },
                {
                    "minus_dense": _MEASURED,
                    "distance": _MEASURED,
                    "speedup": RATIO,
                    "equals": Items(NAME, 1_000),
                    "worse_in": Items(NAME, 100),
                },
            ),
            200,
        ),
        "objective": Named(NAME, 200),
    },
)
RECOMMENDATION = Fields({"choice": CHOICE}, {"proof": PROOF, "notes": Items(Text(2000), 200), **QUALITY.optional})

SUMMARIES = {
    info.PROFILE_SCHEMA: PROFILE,
    info.ATTENTION_SCHEMA: ATTENTION,
    info.EVALUATION_SCHEMA: EVALUATION,
    info.RECOMMENDATION_SCHEMA: RECOMMENDATION,
    info.PROOF_SCHEMA: PROOF,
    info.SENSITIVITY_SCHEMA: Fields(),
}
"""The shape of each kind of summary."""
