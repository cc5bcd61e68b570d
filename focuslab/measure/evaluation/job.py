"""An evaluation as it was asked for, checked before anything is generated: its work, its methods, its scorer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from focuslab.checks import several, switch, text
from focuslab.errors import InputError
from focuslab.hooks.compiled import is_compiled
from focuslab.hooks.memory import LeftOut
from focuslab.hooks.meta_cost import dry_run_that_fits, meta_unet
from focuslab.hooks.timers import clock_for
from focuslab.io.captions import NAMES, Caption
from focuslab.measure.evaluation.items import Work
from focuslab.measure.evaluation.metrics import FEWEST, GROUPS, METRICS, parse_metrics
from focuslab.measure.evaluation.reference import Reference, find_reference
from focuslab.measure.evaluation.scorer import Scorer
from focuslab.methods import AnyMethod, Attachable, as_methods
from focuslab.methods.base import check_count, check_seed
from focuslab.metrics.audioset import CHECKPOINT as TAGGER
from focuslab.metrics.audioset import load_audioset_tagger
from focuslab.metrics.clap import CHECKPOINT, clap_of, load_clap
from focuslab.metrics.embedders import Embedder
from focuslab.models.components import settings_digest
from focuslab.models.conditioning import GUIDANCE_SCALE, encode_prompt, unet_inputs
from focuslab.models.fingerprint import fingerprint
from focuslab.models.identity import model_name, run_info
from focuslab.models.lengths import check_lengths
from focuslab.models.placement import device_of
from focuslab.models.schedule import schedule_of
from focuslab.runs import RunInfo, skipped_rows

STEPS = 200
"""Denoising steps where none are given: AudioLDM2's own default, and the paper's."""
OWN = "own"
"""Names the CLAP that conditions the pipeline as the one that scores."""


@dataclass(frozen=True)
class Job:
    """A checked evaluation. skipped: rows of lengths at which a method does not fit into memory, which are no part of
    the work. flops: of one denoising step, by length and method: what an item's share of the work is
    reckoned from."""

    work: Work
    methods: dict[str, Attachable]
    scorer: Scorer
    reference: Reference | None
    flops: dict[tuple[float, str], int]
    info: RunInfo
    skipped: tuple[dict[str, Any], ...] = ()


def prepare(
    pipe,
    prompts: Iterable[str | Caption] | str | Caption,
    seconds: Iterable[float] | float = (10.0,),
    methods: Iterable[str] | str | Mapping[str, AnyMethod] = ("dense", "litefocus"),
    *,
    seeds: Iterable[int] | int = (0,),
    steps: int = STEPS,
    metrics: Iterable[str] | str | None = None,
    reference=None,
    clap=None,
    tagger=None,
    keep_audio: bool = False,
    offline: bool = False,
) -> Job:
    """Check the arguments of `focuslab.evaluate`, find the recordings and load the embedders. Raises `InputError`."""
    captions = _check_captions(prompts)
    lengths = check_lengths(pipe, seconds)
    methods = as_methods(methods)
    for method in methods.values():
        method.sites_at(pipe, lengths[0])
    steps, keep_audio = check_count("steps", steps), switch("keep_audio", keep_audio)
    seeds = [check_seed(seed) for seed in several(seeds)]
    schedule_of(pipe, steps)
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f"expected one or more different seeds, not {seeds}")
    name = model_name(pipe)
    home_made = name == "tiny" or name.startswith("random:")
    if metrics is None:
        metrics = [group for group in GROUPS if group != "kl" or tagger is not None or not home_made]
    metrics = parse_metrics(metrics)
    clips = len(captions) * len(seeds)
    for metric in metrics:
        if clips < FEWEST.get(metric, 1):
            raise InputError(
                f"{metric} needs {FEWEST[metric]} clips or more of each length and method, and {len(captions)} "
                f"caption(s) with {len(seeds)} seed(s) are {clips}: give more captions, or name other metrics"
            )
    clock_for(device_of(pipe))
    recordings = None
    if reference is not None:
        recordings = find_reference(Path(reference), captions, max(FEWEST.get(metric, 1) for metric in metrics))
        if _are_paired(metrics) and all(place is None for place in recordings.paired):
            raise InputError(
                f"no caption names a recording of {reference}, which is what kl compares with: name them in a column "
                f"{', '.join(NAMES)}, or name other metrics"
            )
    scorer = _load_scorer(pipe, metrics, OWN if clap is None and home_made else clap, tagger, offline)
    flops, skipped = _expect(pipe, lengths, methods, captions[0].text)
    lengths = [s for s in lengths if not any(row["seconds"] == s for row in skipped)]
    work = Work(captions, tuple(lengths), tuple(methods), tuple(seeds))
    info = run_info(
        pipe,
        "evaluate",
        {
            "seconds": lengths,
            "methods": {label: repr(method) for label, method in methods.items()},
            "seeds": seeds,
            "steps": steps,
            "guidance_scale": GUIDANCE_SCALE,
            "metrics": list(metrics),
            "embedders": embedder_facts(pipe, scorer),
            "reference": recordings.to_json() if recordings else None,
            "keep_audio": keep_audio,
            "compiled": is_compiled(pipe.unet),
        },
        seed=seeds[0],
        prompts=[caption.text for caption in captions],
        # Which of several GPUs it is differs between processes.
        device=device_of(pipe).type,
    )
    return Job(work, methods, scorer, recordings, flops, info, tuple(skipped))


def _are_paired(metrics: Iterable[str]) -> bool:
    """Whether each of the metrics compares a clip with the recording of its caption."""
    return all(METRICS[name].against == "reference" and METRICS[name].embedder == "ast" for name in metrics)


def _check_captions(prompts: Iterable[str | Caption] | str | Caption) -> tuple[Caption, ...]:
    captions = tuple(given if isinstance(given, Caption) else Caption(given) for given in several(prompts))
    for caption in captions:
        text("a caption", caption.text)
    if not captions:
        raise InputError("no caption given: expected one or more, each a text")
    return captions


def _load_scorer(pipe, metrics: tuple[str, ...], clap, tagger, offline: bool) -> Scorer:
    needed = {METRICS[name].embedder for name in metrics}
    device = device_of(pipe)
    found_clap = found_tagger = None
    if "clap" in needed:
        found_clap = clap_of(pipe) if clap == OWN else load_clap(clap or CHECKPOINT, device, offline=offline)
    if "ast" in needed:
        ready = isinstance(tagger, Embedder)
        found_tagger = tagger if ready else load_audioset_tagger(tagger or TAGGER, device, offline=offline)
    return Scorer(metrics, found_clap, found_tagger)


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
        found["clap"]["own"] = found["clap"]["checkpoint"] == clap_of(pipe).checkpoint
    return found


def _expect(pipe, lengths, methods, prompt: str) -> tuple[dict[tuple[float, str], int], list[dict[str, Any]]]:
    """FLOPs of a denoising step, and a row for each length and method that does not fit into memory.

    Methods are compared clip by clip, so a length counts only where all of them fit. Raises `InputError` where that is
    nowhere.
    """
    conditioning = encode_prompt(pipe, prompt)
    twin = meta_unet(pipe.unet)
    flops, left_out = {}, LeftOut()
    for seconds in lengths:
        inputs = unet_inputs(pipe, conditioning, seconds)
        for label, method in methods.items():
            what, instead = f"{label} at {seconds:g} s", "leave out this length or this method"
            with left_out.unless_it_fits(seconds, method=label):
                run = dry_run_that_fits(pipe, twin, inputs, method.at_every_step(), what, instead)
                flops[seconds, label] = run.total_flops
    left_out.refuse_if({record["seconds"] for record in left_out.records} == set(lengths))
    return flops, skipped_rows(left_out.records)
