"""Looping motifs on General-MIDI instruments, rendered by fluidsynth with the sound font FluidR3."""

import contextlib
import ctypes
import functools
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
from scipy import fft

from .signal import SAMPLE_RATE, SAMPLES, SECONDS, draw

SOUND_FONT = "/usr/share/sounds/sf2/FluidR3_GM.sf2"
ATTRIBUTES = {"tempo": ("slow", "fast"), "register": ("low", "high"), "melody": ("rising", "falling", "chords")}

# General-MIDI program (from 0), lowest key of the low and of the high register.
PROGRAMS = {
    "piano": (0, 40, 69),
    "violin": (40, 55, 70),
    "flute": (73, 60, 79),
    "trumpet": (56, 54, 70),
    "electric guitar": (30, 40, 60),
    "organ": (19, 36, 62),
    "xylophone": (13, 65, 84),
    "choir": (52, 45, 65),
    "banjo": (105, 48, 67),
    "accordion": (21, 48, 69),
    "synth bass": (38, 26, 40),
    "music box": (10, 68, 84),
    "steel drum": (114, 52, 70),
}
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9))
# Twice the rate of the clips: the synthesiser resamples without a low-pass filter, so one rate would alias.
_OVERSAMPLING = 2
# The synthesiser renders in blocks of 64 samples, so a note starts at a block.
_BLOCK = 64
_WARNING = 2


@functools.cache
def _library() -> SimpleNamespace:
    """fluidsynth's functions that its Python package leaves out, and the sound font, loaded once a process."""
    import fluidsynth

    pointer, integer = ctypes.c_void_p, ctypes.c_int

    def function(name, result, *types):
        return fluidsynth.cfunc(f"fluid_{name}", result, *((f"a{i}", kind, 1) for i, kind in enumerate(types)))

    # A synthesiser whose font is taken away warns once a channel; errors are still told.
    function("set_log_function", pointer, integer, pointer, pointer)(_WARNING, None, None)
    owner = fluidsynth.Synth()
    number = owner.sfload(SOUND_FONT)
    if number < 0:
        raise SystemExit(f"no sound font at {SOUND_FONT}: install the Debian package fluid-soundfont-gm")
    return SimpleNamespace(
        synthesiser=fluidsynth.Synth,
        owner=owner,
        font=function("synth_get_sfont_by_id", pointer, pointer, integer)(owner.synth, number),
        add=function("synth_add_sfont", integer, pointer, pointer),
        remove=function("synth_remove_sfont", integer, pointer, pointer),
        write=function(
            "synth_write_float", integer, pointer, integer, pointer, integer, integer, pointer, integer, integer
        ),
    )


@contextlib.contextmanager
def _synthesiser(program: int):
    """A new synthesiser with the shared font: one used before keeps voices and envelopes even after a reset."""
    library = _library()
    synth = library.synthesiser(gain=0.4, samplerate=float(SAMPLE_RATE * _OVERSAMPLING))
    synth.setting("synth.reverb.active", 0)
    synth.setting("synth.chorus.active", 0)
    synth.program_select(0, library.add(synth.synth, library.font), 0, program)
    try:
        yield synth
    finally:
        library.remove(synth.synth, library.font)
        synth.delete()


def motif(rng: np.random.Generator, attributes: dict[str, str], lowest: int) -> list[tuple[float, float, list[int]]]:
    """One pass of the loop: start in beats, duration in beats and keys of every note or chord."""
    scale = SCALES[rng.integers(len(SCALES))]
    root = lowest + int(rng.integers(0, 5))
    keys = [root + 12 * octave + step for octave in (0, 1) for step in scale]
    slow = attributes["tempo"] == "slow"
    if attributes["melody"] == "chords":
        roots = rng.choice(5, size=int(rng.integers(2, 4 if slow else 5)), replace=False)
        # Two chords on each root keep slow and fast apart for sustained instruments as well.
        notes = [[keys[r], keys[r + 2], keys[r + 4]] for r in roots for _ in range(1 if slow else 2)]
    else:
        count = int(rng.integers(3, 6)) if slow else int(rng.integers(4, 9))
        degrees = np.sort(rng.choice(len(scale) + 3, size=count, replace=False))
        notes = [[keys[d]] for d in (degrees if attributes["melody"] == "rising" else degrees[::-1])]
    lengths = rng.choice([1.0, 1.0, 1.0, 2.0], size=len(notes))
    starts = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
    return [(float(s), float(n), k) for s, n, k in zip(starts, lengths, notes, strict=True)]


def play(name: str, rng: np.random.Generator, attributes: dict[str, str]) -> np.ndarray:
    """The instrument `name` looping a motif over the whole clip, [SAMPLES]."""
    program, low, high = PROGRAMS[name]
    notes = motif(rng, attributes, low if attributes["register"] == "low" else high)
    beat = 1 / draw(rng, attributes["tempo"], slow=(1.1, 1.7), fast=(4.0, 6.0))
    period = beat * (notes[-1][0] + notes[-1][1])
    gate = rng.uniform(0.75, 0.97)
    velocities = rng.integers(80, 118, size=len(notes))
    events = []
    for start in np.arange(-rng.uniform(0, period), SECONDS, period):
        for (at, length, keys), velocity in zip(notes, velocities, strict=True):
            on, off = start + at * beat, start + (at + gate * length) * beat
            if off > 0.05 and on < SECONDS:
                events += [(max(on, 0.0), 1, key, int(velocity)) for key in keys] + [(off, 0, key, 0) for key in keys]
    return _render(program, events)


def _render(program: int, events: list[tuple[float, int, int, int]]) -> np.ndarray:
    """Events (seconds, 1 for on or 0 for off, key, velocity) played by a General-MIDI program, [SAMPLES]."""
    total = SAMPLES * _OVERSAMPLING
    left, right = np.zeros(total, np.float32), np.zeros(total, np.float32)
    done = 0
    with _synthesiser(program) as synth:
        for seconds, on, key, velocity in [*sorted(events), (SECONDS, 0, 0, 0)]:
            sample = min(int(seconds * SAMPLE_RATE * _OVERSAMPLING) // _BLOCK * _BLOCK, total)
            if sample > done:
                buffers = (left.ctypes.data, done, 1, right.ctypes.data, done, 1)
                _library().write(synth.synth, sample - done, *buffers)
                done = sample
            if on:
                synth.noteon(0, key, velocity)
            else:
                synth.noteoff(0, key)
    return fft.irfft(fft.rfft(left + right)[: SAMPLES // 2 + 1], n=SAMPLES)


def maker(name: str) -> Callable[[np.random.Generator, dict[str, str]], np.ndarray]:
    """The function of generator and attributes that plays `name`."""
    return functools.partial(play, name)
