"""Captioned training sounds: 30 classes, every clip a pure function of its split and index."""

from .clips import CLASSES, Clip, draw_clip, held_out, seed
from .signal import SAMPLE_RATE, SAMPLES

__all__ = ["CLASSES", "SAMPLES", "SAMPLE_RATE", "Clip", "draw_clip", "held_out", "seed"]
