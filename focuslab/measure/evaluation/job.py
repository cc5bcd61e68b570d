"""An evaluation as it was asked for, checked before anything is generated: its work, its methods, its scorer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from focuslab.checks import make_config, several, text
from focuslab.errors import InputError
from focuslab.hooks.compiled import is_compiled
from focuslab.hooks.timers import clock_for
from focuslab.io.captions import NAMES, Caption
from focuslab.measure.evaluation.config import FEWEST, GROUPS, METRICS, EvaluationConfig, parse_metrics
from focuslab.measure.evaluation.items import Work
from focuslab.measure.evaluation.reference import Reference, find_reference
from focuslab.measure.evaluation.scorer import Scorer
from focuslab.measure.loop import meta_costs
from focuslab.methods import AnyMethod
from focuslab.metrics.audioset import CHECKPOINT as TAGGER
from focuslab.metrics.audioset import load_audioset_tagger
from focuslab.metrics.clap import CHECKPOINT, clap_of, has_clap, load_clap
from focuslab.metrics.embedders import Embedder
from focuslab.models.components import settings_digest
from focuslab.models.conditioning import encode_prompt, guidance_scale
from focuslab.models.fingerprint import fingerprint
from focuslab.models.identity import model_name, run_info
from focuslab.models.lengths import check_lengths, training_frames, training_seconds
from focuslab.models.placement import device_of
from focuslab.models.schedule import schedule_of
from focuslab.runs import RunInfo, skipped_rows

OWN = "own"
"""Names the CLAP that conditions the pipeline as the one that scores."""


@dataclass(frozen=True)
class Job:
    """A checked evaluation.

    Attributes
    ----------
    work : Work
        The clips to make.
    config : EvaluationConfig
        What was asked for.
    scorer : Scorer
        What scores them.
    reference : Reference or None
        The recordings to compare with.
    flops : dict
        Of one denoising step, by length and method: an item's share of the work is estimated from it.
    info : RunInfo
        How the run is made.
    skipped : tuple of dict
        Rows of lengths at which a method does not fit into memory, which are no part of the work.
    """

    work: Work
    config: EvaluationConfig
    scorer: Scorer
    reference: Reference | None
    flops: dict[tuple[float, str], int]
    info: RunInfo
    skipped: tuple[dict[str, Any], ...] = ()
    training_seconds: float | None = None


def prepare(
    pipe,
    prompts: Iterable[str | Caption] | str | Caption,
    seconds: Iterable[float] | float = (10.0,),
    methods: Iterable[str] | str | Mapping[str, AnyMethod] = ("dense", "litefocus"),
    **options: Any,
) -> Job:
    """Check what `focuslab.evaluate` is asked for, find the recordings and load the embedders.

    Parameters
    ----------
    pipe, prompts, seconds, methods
        As in `focuslab.evaluate`.
    **options
        Fields of `EvaluationConfig`.

    Raises
    ------
    InputError
        A wrong argument, fewer clips than a metric needs, or an embedder that is not there.
    """
    captions = _check_captions(prompts)
    lengths = check_lengths(pipe, seconds)
    config = make_config(EvaluationConfig, {"seconds": lengths, "methods": methods, **options})
    for method in config.methods.values():
        method.sites_at(pipe, lengths[0])
    schedule_of(pipe, config.steps)
    metrics = config.metrics or _default_metrics(pipe, config)
    _check_clips(len(captions), len(config.seeds), metrics)
    clock_for(device_of(pipe))
    recordings = None if config.reference is None else _find_recordings(config.reference, captions, metrics)
    scorer = _load_scorer(pipe, metrics, config)
    conditioning = encode_prompt(pipe, captions[0].text)
    attached = {s: {label: m.at_every_step() for label, m in config.methods.items()} for s in lengths}
    expected, left_out = meta_costs(pipe, conditioning, attached)
    skipped = tuple(skipped_rows(left_out.records))
    # Methods are compared clip by clip, so a length counts only where all of them fit.
    lengths = [s for s in lengths if not any(row["seconds"] == s for row in skipped)]
    left_out.refuse_if(not lengths)
    about = {
        "seconds": lengths,
        "guidance_scale": guidance_scale(pipe),
        "metrics": list(metrics),
        "embedders": embedder_facts(pipe, scorer),
        "reference": recordings.to_json() if recordings else None,
        "compiled": is_compiled(pipe.unet),
    }
    texts = [caption.text for caption in captions]
    # Which of several GPUs it is differs between processes.
    kind = device_of(pipe).type
    info = run_info(pipe, "evaluate", config.to_json() | about, seed=config.seeds[0], prompts=texts, device=kind)
    work = Work(captions, tuple(lengths), tuple(config.methods), tuple(config.seeds))
    flops = {place: run.total_flops for place, run in expected.items()}
    return Job(work, config, scorer, recordings, flops, info, skipped, _training_seconds(pipe))


def _training_seconds(pipe) -> float | None:
    """None where the UNet's configuration does not name it."""
    return None if training_frames(pipe.unet) is None else training_seconds(pipe)


def _is_home_made(pipe) -> bool:
    name = model_name(pipe)
    return name == "tiny" or name.startswith("random:")


def _default_metrics(pipe, config: EvaluationConfig) -> tuple[str, ...]:
    with_kl = config.tagger is not None or not _is_home_made(pipe)
    return parse_metrics(group for group in GROUPS if group != "kl" or with_kl)


def _check_clips(captions: int, seeds: int, metrics: Iterable[str]) -> None:
    for metric in metrics:
        if captions * seeds < FEWEST.get(metric, 1):
            raise InputError(
                f"{metric} needs {FEWEST[metric]} clips or more of each length and method, and {captions} caption(s) "
                f"with {seeds} seed(s) are {captions * seeds}: give more captions, or name other metrics"
            )


def _find_recordings(reference: Any, captions: Sequence[Caption], metrics: Sequence[str]) -> Reference:
    recordings = find_reference(Path(reference), captions, max(FEWEST.get(metric, 1) for metric in metrics))
    # Such a metric compares each clip with the recording of its caption.
    paired = all(METRICS[name].against == "reference" and METRICS[name].embedder == "ast" for name in metrics)
    if paired and all(place is None for place in recordings.paired):
        raise InputError(
            f"no caption names a recording of {reference}, which is what kl compares with: name them in a column "
            f"{', '.join(NAMES)}, or name other metrics"
        )
    return recordings


def _check_captions(prompts: Iterable[str | Caption] | str | Caption) -> tuple[Caption, ...]:
    captions = tuple(given if isinstance(given, Caption) else Caption(given) for given in several(prompts))
    for caption in captions:
        text("a caption", caption.text)
    if not captions:
        raise InputError("no caption given: expected one or more, each a text")
    return captions


def _load_scorer(pipe, metrics: Sequence[str], config: EvaluationConfig) -> Scorer:
    needed = {METRICS[name].embedder for name in metrics}
    device, offline = device_of(pipe), config.offline
    clap = config.clap
    if clap is None and _is_home_made(pipe):
        clap = OWN if has_clap(pipe) else "tiny"
    found_clap = found_tagger = None
    if "clap" in needed:
        found_clap = clap_of(pipe) if clap == OWN else load_clap(clap or CHECKPOINT, device, offline=offline)
    if "ast" in needed:
        given = config.tagger
        if not isinstance(given, Embedder):
            given = load_audioset_tagger(given or TAGGER, device, offline=offline)
        found_tagger = given
    return Scorer(tuple(metrics), found_clap, found_tagger)


def embedder_facts(pipe, scorer: Scorer) -> dict[str, dict[str, Any]]:
    """What scores, by name: the content of its checkpoint, and whether it is the pipeline's own."""
    found = scorer.describe()
    for name, embedder in scorer.embedders.items():
        # One that somebody wrote need not have a network.
        parts = {part: value for part, value in vars(embedder).items() if not isinstance(value, (str, int, float))}
        networks = {part: value for part, value in parts.items() if isinstance(value, nn.Module)}
        found[name]["weights"] = {part: fingerprint(network) for part, network in networks.items()}
        found[name]["settings"] = {part: settings_digest(value) for part, value in parts.items()}
    if "clap" in found:
        found["clap"]["own"] = has_clap(pipe) and found["clap"]["checkpoint"] == clap_of(pipe).checkpoint
    return found
