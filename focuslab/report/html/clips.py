"""What it sounds like: dense and sparse side by side, with their spectrograms, inside the page.

Samples are embedded as they are, in 16 bits, as FLAC. Where all of them would make the page too large, each is cut to
the same length from its beginning, and that is said.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from focuslab.errors import InputError
from focuslab.io.audio import decode_audio, encode_flac
from focuslab.metrics.spectrogram import HIGHEST, WINDOW, log_mel
from focuslab.report.figures.spectrogram import plot_spectrogram
from focuslab.report.figures.style import new_figure, style
from focuslab.report.html.drawing import Drawer
from focuslab.report.html.folder import Folder
from focuslab.report.html.made import facts_of, facts_of_settings
from focuslab.report.html.parts import Clip, Comparison, Group, Made
from focuslab.report.html.sources import Run, SoundFile, read_records
from focuslab.runs.method_spec import brief
from focuslab.runs.schemas import ITEM

COMPARISONS = 6
"""At most, of a page."""
CLIPS = 4
"""At most, of a comparison."""
LONGEST = 600.0
"""Of a sound in seconds; what is longer is not read."""
MOST_BYTES = 2**26
"""Of a file."""
MOST_SAMPLES = 50_000_000
"""Of all clips of a page: they are held at once."""
SHORTEST = 2.0
"""Of an excerpt in seconds; with room for less, clips are left out."""
COLUMNS = 480
"""Of a spectrogram."""
_SIZE = (3.4, 1.5)
"""Of a spectrogram, in inches."""


@dataclass
class Sound:
    """Samples `[n]` of a sound and what is said of it. `dense` stands first in a comparison."""

    method: str
    dense: bool
    prompt: str
    seconds: float
    seed: int
    facts: list[tuple[str, str]]
    made: Made
    folder: Folder
    wav: str


Key = tuple[Any, ...]


def comparisons_of(clips: Iterable[SoundFile], runs: Iterable[Run]) -> tuple[list[list[Sound]], int]:
    """Groups of clips that differ in the method alone, and how many more there are than are shown.

    Those with a dense sound and another one come first; of several lengths and prompts, some of each.
    """
    groups: dict[Key, list[Sound]] = {}
    for sound in clips:
        s = sound.settings
        key = (s["model"]["name"], s["prompt"], s["seconds"], s["seed"], s["steps"])
        groups.setdefault(key, []).append(_generated(sound))
    for run in runs:
        for record in read_records(run, ITEM):
            if record["kind"] == "item" and record["status"] == "scored" and record["prompt"] < len(run.info.prompts):
                key = (run.model, run.folder.shown, record["prompt"], record["seconds"], record["seed"])
                groups.setdefault(key, []).append(_evaluated(run, record))
    whole = [_in_order(group) for group in groups.values()]
    paired = [group for group in whole if len(group) > 1 and group[0].dense]
    others = [group for group in whole if group not in paired]
    chosen = _spread(paired, COMPARISONS)
    chosen += others[: COMPARISONS - len(chosen)]
    return chosen, len(whole) - len(chosen)


def clip_group(chosen: Sequence[Sequence[Sound]], budget: int, drawer: Drawer, gaps: list[str]) -> Group | None:
    """The clips within `budget` bytes of the page, with a spectrogram each."""
    read, left = [], MOST_SAMPLES
    for group in chosen:
        clips = []
        for sound in group if left > 0 else ():
            found = _samples(sound, gaps)
            left -= len(found[0]) if found else 0
            if found and left >= 0:
                clips.append((sound, *found))
        if clips:
            read.append(clips)
    if left <= 0:
        gaps.append(f"Some clips were not read: a page takes at most {MOST_SAMPLES:.0e} samples of all together.")
    if not read:
        return None
    seconds, kept = _excerpt([[len(samples) / rate for _, samples, rate in clips] for clips in read], budget, read)
    if kept < len(read):
        gaps.append(
            f"{len(read) - kept} of {len(read)} comparisons of clips were left out: the page would be too large"
        )
    group = Group("")
    for clips in read[:kept]:
        group.comparisons.append(_comparison(clips, seconds, drawer))
    if seconds is not None and kept:
        group.lead = (
            f"Clips of more than {seconds:.1f} s are cut to their first {seconds:.1f} s here, so that the page "
        )
        group.lead += "stays small; the whole files are in the run directories."
    return group if kept else None


def _comparison(clips: Sequence[tuple[Sound, np.ndarray, int]], seconds: float | None, drawer: Drawer) -> Comparison:
    first = clips[0][0]
    names = [sound.method.partition(",")[0] for sound, *_ in clips]
    shown = Comparison(first.prompt, f"{first.seconds:g} s, seed {first.seed}", [])
    for name, (sound, samples, rate) in zip(names, clips, strict=True):
        # The parameters only where they are the difference; all of them are among what made it.
        method = name if names.count(name) == 1 else sound.method
        whole = len(samples) / rate
        samples = samples if seconds is None else samples[: int(seconds * rate)]
        length = len(samples) / rate
        facts = [*sound.facts]
        if length < whole:
            facts.append(("Excerpt", f"first {length:.1f} of {whole:.1f} s"))
        picture = Group("")
        if len(samples) >= WINDOW:
            drawer.add(
                picture,
                f"Mel spectrogram: {brief(method)}",
                lambda samples=samples, rate=rate, length=length: _spectrogram(samples, rate, length),
                caption=f"Loudness of mel bands over {length:.1f} s, low frequencies at the bottom, loud dark.",
            )
        audio = f"data:audio/flac;base64,{base64.b64encode(encode_flac(samples, rate)).decode()}"
        shown.clips.append(Clip(method, audio, next(iter(picture.figures), None), facts, sound.made))
    return shown


def _spectrogram(samples: np.ndarray, rate: int, seconds: float):
    with style():
        figure = new_figure(*_SIZE)
        plot_spectrogram(log_mel(samples, rate, COLUMNS), seconds, figure.subplots(), highest=min(HIGHEST, rate / 2))
    return figure


def _excerpt(
    lengths: Sequence[Sequence[float]], budget: int, read: Sequence[Sequence[tuple]]
) -> tuple[float | None, int]:
    """To how many seconds each sound is cut (None: not at all), and how many comparisons then fit."""
    for kept in range(len(read), 0, -1):
        flat = [
            (seconds, clip[2])
            for own, clips in zip(lengths[:kept], read[:kept], strict=True)
            for seconds, clip in zip(own, clips, strict=True)
        ]
        if _bytes(flat, None) <= budget:
            return None, kept
        if _bytes(flat, SHORTEST) <= budget:
            low, high = SHORTEST, max(seconds for seconds, _ in flat)
            for _ in range(40):
                middle = (low + high) / 2
                low, high = (middle, high) if _bytes(flat, middle) <= budget else (low, middle)
            return int(10 * low) / 10, kept
    return None, 0


def _bytes(clips: Iterable[tuple[float, int]], most: float | None) -> float:
    """At most, in the page: 16 bits a sample, in base64, and a spectrogram each."""
    return sum((min(s, most or s) * rate * 2 + 100) * 4 / 3 + PICTURE_BYTES for s, rate in clips)


PICTURE_BYTES = 130_000
"""Roughly what a spectrogram takes in the page."""


def _samples(sound: Sound, gaps: list[str]) -> tuple[np.ndarray, int] | None:
    name = sound.folder.name(sound.wav)
    try:
        samples, rate = decode_audio(sound.folder.read(sound.wav, MOST_BYTES), name)
    except InputError as error:
        gaps.append(str(error))
        return None
    if not 1000 <= rate <= 192_000 or not 0 < len(samples) <= LONGEST * rate:
        gaps.append(f"{name} has {len(samples)} samples at {rate} Hz: expected at most {LONGEST:g} s at 1 to 192 kHz")
        return None
    return samples, rate


def _generated(sound: SoundFile) -> Sound:
    s = sound.settings
    method = _short_method(s["method"], bool(s["plan"]))
    facts = [("Whole generation", f"{s['wall_seconds']:.1f} s, run once")] if s["wall_seconds"] else []
    made = Made(sound.folder.name(sound.wav), facts_of_settings(s))
    return Sound(method, method == "dense", s["prompt"], s["seconds"], s["seed"], facts, made, sound.folder, sound.wav)


def _short_method(method: str, planned: bool) -> str:
    """ "LiteFocus(sites=None, cross_fraction=0.1)" -> "LiteFocus, cross_fraction=0.1"; what a plan does is too long."""
    name, _, parameters = method.partition("(")
    if planned or name == "Dense":
        return "plan" if planned else "dense"
    given = [part for part in parameters.removesuffix(")").split(", ") if part != "sites=None"]
    return ", ".join([name, *given])


def _evaluated(run: Run, record: dict[str, Any]) -> Sound:
    facts = []
    if record["denoising_seconds"]:
        facts.append(("Denoising", f"{record['denoising_seconds']:.1f} s, run once"))
    if (record["values"] or {}).get("log_mel_l1") is not None and record["method"] != "dense":
        facts.append(("Log-mel distance to dense", f"{record['values']['log_mel_l1']:.3f}"))
    made = Made(run.folder.name(record["audio"]), facts_of(run.info))
    prompt = run.info.prompts[record["prompt"]]
    dense = record["method"] == "dense"
    seconds, seed = record["seconds"], record["seed"]
    return Sound(record["method"], dense, prompt, seconds, seed, facts, made, run.folder, record["audio"])


def _in_order(group: list[Sound]) -> list[Sound]:
    return sorted(group, key=lambda sound: not sound.dense)[:CLIPS]


def _spread(groups: Sequence[list[Sound]], most: int) -> list[list[Sound]]:
    """Some of each length, in turn from the shortest, each time with a prompt that was not taken yet where there is
    one; in the end by length."""
    by_length: dict[float, list[list[Sound]]] = {}
    for group in groups:
        by_length.setdefault(group[0].seconds, []).append(group)
    chosen, prompts = [], set()
    while len(chosen) < most and any(by_length.values()):
        for seconds in sorted(by_length):
            left = by_length[seconds]
            if left and len(chosen) < most:
                group = next((g for g in left if g[0].prompt not in prompts), left[0])
                left.remove(group)
                prompts.add(group[0].prompt)
                chosen.append(group)
    return sorted(chosen, key=lambda group: group[0].seconds)
