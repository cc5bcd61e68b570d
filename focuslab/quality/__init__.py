"""What sound is like, in numbers: metrics as pure functions over arrays, and the embedders that make the arrays.

Each metric has a sibling that gives one value a clip whose mean is the metric: what `bootstrap_interval` takes, and,
subtracted for two methods over the same captions, the interval of their difference.
"""

from focuslab.quality.closeness import clipping_share, log_mel_l1, rms_ratio, silence_share, spectral_centroid
from focuslab.quality.divergence import kl_by_pair, kl_divergence, posteriors
from focuslab.quality.frechet import Moments, frechet_by_group, frechet_distance
from focuslab.quality.kernel import kernel_by_row, kernel_distance, paired_kernel_by_row
from focuslab.quality.similarity import clap_by_pair, clap_score

__all__ = [
    "Moments",
    "clap_by_pair",
    "clap_score",
    "clipping_share",
    "frechet_by_group",
    "frechet_distance",
    "kernel_by_row",
    "kernel_distance",
    "kl_by_pair",
    "kl_divergence",
    "log_mel_l1",
    "paired_kernel_by_row",
    "posteriors",
    "rms_ratio",
    "silence_share",
    "spectral_centroid",
]
