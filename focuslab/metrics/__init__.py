"""What sound is like, in numbers: metrics as pure functions over arrays, and the embedders that make the arrays.

Each metric has a sibling that gives one value a clip whose mean is the metric: what `bootstrap_interval` takes, and,
subtracted for two methods over the same captions, the interval of their difference.
"""

from focuslab.metrics.fidelity import clipping_share, log_mel_l1, rms_ratio, silence_share, spectral_centroid
from focuslab.metrics.frechet import frechet_by_group, frechet_distance
from focuslab.metrics.kernel import kernel_by_row, kernel_distance, paired_kernel_by_row
from focuslab.metrics.kl import clap_by_pair, clap_score, kl_by_pair, kl_divergence, posteriors

__all__ = [
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
