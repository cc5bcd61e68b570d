"""The section to listen to: dense and sparse clips side by side, with their spectrograms, inside the page.

Samples are embedded as they are, in 16 bits, as FLAC. Where all of them would make the page too large, each is cut to
the same length from its beginning, and that is said.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from focuslab.errors import InputError
from focuslab.io.audio import decode_audio, encode_flac
from focuslab.metrics.spectrogram import HIGHEST, WINDOW, log_mel
from focuslab.report.figures.spectrogram import plot_spectrogram
from focuslab.report.figures.style import new_figure, style
from focuslab.report.html.drawing import Drawer
from focuslab.report.html.parts import Clip, Comparison, Group, Made, facts_of, facts_of_settings
from focuslab.report.html.sources import Run, SoundFile, read_records
from focuslab.runs.folder import Folder
from focuslab.runs.method_spec import brief
from focuslab.runs.schemas.evaluation import Item

COMPARISONS = 6
"""A page has at most this many."""
CLIPS = 4
"""A comparison has at most this many."""
LONGEST = 600.0
"""A clip of more seconds is not read."""
MOST_BYTES = 2**26
"""A larger file is not read."""
MOST_SAMPLES = 50_000_000
"""All clips of a page together have at most this many, since they are held at once."""
SHORTEST = 2.0
"""An excerpt has at least this many seconds; with room for less, clips are left out."""
COLUMNS = 480
"""A spectrogram has this many."""
PICTURE_BYTES = 130_000
"""Roughly what a spectrogram takes in the page."""


@dataclass(eq=False)
class Source:
    """A file that holds a clip, and what is said of it; `samples` `[n]` at `rate` Hz once it was read."""

    method: str
    prompt: str
    seconds: float
    seed: int
    facts: list[tuple[str, str]]
    made: Made
    folder: Folder
    wav: str
    samples: np.ndarray = field(default_factory=lambda: np.zeros(0))
    rate: int = 1

    @property
    def length(self) -> float:
        return len(self.samples) / self.rate


def comparisons_of(files: Iterable[SoundFile], runs: Iterable[Run]) -> tuple[list[list[Source]], int]:
    """Groups of clips that differ in the method alone, and how many more there are than are shown.

    Those with a dense clip and another one come first; of several lengths and prompts, some of each.
    """
    groups: dict[tuple[Any, ...], list[Source]] = {}
    for file in files:
        s = file.settings
        key = (s["model"]["name"], s["prompt"], s["seconds"], s["seed"], s["steps"])
        groups.setdefault(key, []).append(_generated(file))
    for run in runs:
        for record in read_records(run, Item):
            if record["kind"] == "item" and record["status"] == "scored" and record["prompt"] < len(run.info.prompts):
                key = (run.model, run.folder.shown, record["prompt"], record["seconds"], record["seed"])
                groups.setdefault(key, []).append(_evaluated(run, record))
    whole = [sorted(group, key=lambda source: source.method != "dense")[:CLIPS] for group in groups.values()]
    paired = [group for group in whole if len(group) > 1 and group[0].method == "dense"]
    others = [group for group in whole if group not in paired]
    chosen = _spread(paired, COMPARISONS)
    chosen += others[: COMPARISONS - len(chosen)]
    return chosen, len(whole) - len(chosen)


def clip_group(chosen: Sequence[Sequence[Source]], budget: int, drawer: Drawer, gaps: list[str]) -> Group | None:
    """The clips within `budget` bytes of the page, with a spectrogram each."""
    left, read = MOST_SAMPLES, []
    for group in chosen:
        clips = []
        for source in group if left > 0 else ():
            found = _read(source, gaps)
            left -= len(source.samples)
            if found and left >= 0:
                clips.append(source)
        if clips:
            read.append(clips)
    if left <= 0:
        gaps.append(f"Some clips were not read: a page takes at most {MOST_SAMPLES:.0e} samples of all together.")
    if not read:
        return None
    seconds, kept = _excerpt(read, budget)
    if kept < len(read):
        gaps.append(
            f"{len(read) - kept} of {len(read)} comparisons of clips were left out: the page would be too large"
        )
    if not kept:
        return None
    shown = Group("", comparisons=[_comparison(clips, seconds, drawer) for clips in read[:kept]])
    if seconds is not None:
        shown.lead = (
            f"Clips of more than {seconds:.1f} s are cut to their first {seconds:.1f} s here, so that the page stays "
            "small; the whole files are in the run directories."
        )
    return shown


def _comparison(sources: Sequence[Source], seconds: float | None, drawer: Drawer) -> Comparison:
    names = [source.method.partition(",")[0] for source in sources]
    shown = Comparison(sources[0].prompt, f"{sources[0].seconds:g} s, seed {sources[0].seed}", [])
    for name, source in zip(names, sources, strict=True):
        # The parameters only where they are the difference; all of them are among what made it.
        method = name if names.count(name) == 1 else source.method
        rate, facts = source.rate, list(source.facts)
        samples = source.samples if seconds is None else source.samples[: int(seconds * rate)]
        length = len(samples) / rate
        if length < source.length:
            facts.append(("Excerpt", f"first {length:.1f} of {source.length:.1f} s"))
        picture = Group("")
        if len(samples) >= WINDOW:
            drawer.add(
                picture,
                f"Mel spectrogram: {brief(method)}",
                partial(_spectrogram, samples, rate),
                caption=f"Loudness of mel bands over {length:.1f} s, low frequencies at the bottom, loud dark.",
            )
        audio = f"data:audio/flac;base64,{base64.b64encode(encode_flac(samples, rate)).decode()}"
        shown.clips.append(Clip(method, audio, next(iter(picture.figures), None), facts, source.made))
    return shown


def _spectrogram(samples: np.ndarray, rate: int) -> Figure:
    with style():
        figure = new_figure(3.4, 1.5)
        mel = log_mel(samples, rate, COLUMNS)
        plot_spectrogram(mel, len(samples) / rate, figure.subplots(), highest=min(HIGHEST, rate / 2))
    return figure


def _excerpt(groups: Sequence[Sequence[Source]], budget: int) -> tuple[float | None, int]:
    """To how many seconds each clip is cut (None: not at all), and how many comparisons then fit."""
    for kept in range(len(groups), 0, -1):
        clips = [(source.length, source.rate) for group in groups[:kept] for source in group]
        longest = max(length for length, _ in clips)

        def fits(most: float, clips=clips) -> bool:
            # 16 bits a sample, in base64, and a spectrogram each.
            return sum((min(s, most) * rate * 2 + 100) * 4 / 3 + PICTURE_BYTES for s, rate in clips) <= budget

        if fits(longest):
            return None, kept
        if fits(SHORTEST):
            return round(max(most for most in np.arange(SHORTEST, longest, 0.1) if fits(most)), 1), kept
    return None, 0


def _read(source: Source, gaps: list[str]) -> bool:
    """Put the samples into `source`; False and a gap where they cannot be read."""
    name = source.folder.name(source.wav)
    try:
        samples, rate = decode_audio(source.folder.read(source.wav, MOST_BYTES), name)
    except InputError as error:
        gaps.append(str(error))
        return False
    if not 1000 <= rate <= 192_000 or not 0 < len(samples) <= LONGEST * rate:
        gaps.append(f"{name} has {len(samples)} samples at {rate} Hz: expected at most {LONGEST:g} s at 1 to 192 kHz")
        return False
    source.samples, source.rate = samples, rate
    return True


def _generated(file: SoundFile) -> Source:
    s = file.settings
    facts = [("Whole generation", f"{s['wall_seconds']:.1f} s, run once")] if s["wall_seconds"] else []
    made = Made(file.folder.name(file.wav), facts_of_settings(s))
    method = _short_method(s["method"], bool(s["plan"]))
    return Source(method, s["prompt"], s["seconds"], s["seed"], facts, made, file.folder, file.wav)


def _short_method(method: str, planned: bool) -> str:
    """ "LiteFocus(sites=None, cross_fraction=0.1)" -> "LiteFocus, cross_fraction=0.1"; what a plan does is too long."""
    name, _, parameters = method.partition("(")
    if planned or name == "Dense":
        return "plan" if planned else "dense"
    return ", ".join([name, *(part for part in parameters.removesuffix(")").split(", ") if part != "sites=None")])


def _evaluated(run: Run, record: dict[str, Any]) -> Source:
    facts = []
    if record["denoising_seconds"]:
        facts.append(("Denoising", f"{record['denoising_seconds']:.1f} s, run once"))
    if (record["values"] or {}).get("log_mel_l1") is not None and record["method"] != "dense":
        facts.append(("Log-mel distance to dense", f"{record['values']['log_mel_l1']:.3f}"))
    made = Made(run.folder.name(record["audio"]), facts_of(run.info))
    prompt = run.info.prompts[record["prompt"]]
    seconds, seed = record["seconds"], record["seed"]
    return Source(record["method"], prompt, seconds, seed, facts, made, run.folder, record["audio"])


def _spread(groups: Sequence[list[Source]], most: int) -> list[list[Source]]:
    """Some of each length, in turn from the shortest, each with a prompt that was not taken yet if there is one."""
    left = list(groups)
    chosen: list[list[Source]] = []
    while left and len(chosen) < most:
        for seconds in sorted({group[0].seconds for group in left}):
            taken = {group[0].prompt for group in chosen}
            own = [group for group in left if group[0].seconds == seconds]
            group = min(own, key=lambda group: group[0].prompt in taken)
            left.remove(group)
            chosen.append(group)
    return sorted(chosen[:most], key=lambda group: group[0].seconds)
