"""A clip from its split and index: class, attributes, sound, room and caption."""

import functools
import itertools
from dataclasses import dataclass

import numpy as np

from . import instruments, procedural
from .captions import caption
from .equalizer import equalise
from .signal import SAMPLES, distant, levelled

SOURCES = {
    **procedural.SOUNDS,
    **{name: (instruments.maker(name), instruments.ATTRIBUTES) for name in instruments.PROGRAMS},
}
CLASSES: tuple[str, ...] = tuple(SOURCES)
SPLITS = ("train", "test")
LEVELS_DB = {"soft": (-31.0, -27.0), "loud": (-19.0, -16.0), None: (-25.0, -20.0)}
DISTANT_DB = -5.0


@dataclass(frozen=True)
class Clip:
    """`waveform` float32 [SAMPLES] within +-1, its caption, its class and the attributes drawn for it."""

    waveform: np.ndarray
    caption: str
    label: str
    attributes: dict[str, str]


@functools.cache
def _combinations(label: str) -> tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]:
    """Attribute combinations of a class: those drawn in training and those held out."""
    every = list(itertools.product(*SOURCES[label][1].values()))
    rng = np.random.default_rng([2, CLASSES.index(label)])
    # A quarter is held out: from random opposite corners, so that each single value stays in training.
    first = every[rng.integers(len(every))]
    unlike = [c for c in every if all(x != y for x, y in zip(c, first, strict=True))]
    out = [first, unlike[rng.integers(len(unlike))]]
    more = [c for c in every if all(sum(x != y for x, y in zip(c, o, strict=True)) >= 2 for o in out)]
    out += more[: len(every) // 4 - 2]
    return tuple(c for c in every if c not in out), tuple(out)


def held_out(label: str) -> list[dict[str, str]]:
    """Attribute combinations of a class that are never drawn in training."""
    return [dict(zip(SOURCES[label][1], values, strict=True)) for values in _combinations(label)[1]]


def seed(split: str, index: int) -> list[int]:
    """Entropy of a clip's random generator."""
    if split not in SPLITS or index < 0:
        raise ValueError(f"no clip {index} of split '{split}': give 'train' or 'test' and an index from 0")
    return [SPLITS.index(split), index]


def draw_facts(split: str, index: int) -> tuple[str, dict[str, str], str, np.random.Generator]:
    """Class, attributes and caption of a clip, and the generator that its sound is drawn from next."""
    rng = np.random.default_rng(seed(split, index))
    label = CLASSES[index % len(CLASSES)]
    seen, unseen = _combinations(label)
    pool = unseen if split == "test" and rng.random() < 0.5 else seen
    attributes = dict(zip(SOURCES[label][1], pool[rng.integers(len(pool))], strict=True))
    return label, attributes, caption(rng, label, attributes), rng


def draw_clip(split: str, index: int) -> Clip:
    """Clip `index` of a split; half of the test clips have an attribute combination never drawn in training."""
    label, attributes, text, rng = draw_facts(split, index)
    waveform = SOURCES[label][0](rng, attributes)
    far = attributes.get("distance") == "distant"
    if far:
        waveform = distant(rng, waveform)
    floor = np.abs(waveform).max() * 10 ** (rng.uniform(-70, -50) / 20)
    waveform = equalise(rng, waveform + floor * rng.standard_normal(SAMPLES))
    level = rng.uniform(*LEVELS_DB[attributes.get("loudness")]) + (DISTANT_DB if far else 0.0)
    return Clip(levelled(waveform, level).astype(np.float32), text, label, attributes)
