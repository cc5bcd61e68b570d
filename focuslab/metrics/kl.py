"""KL divergence of class posteriors, and CLAP score; both are paired by caption.

Source of the divergence: as a metric of generated audio, AudioGen (Kreuk et al. 2023, arXiv:2209.15352) and
haoheliu/audioldm_eval, which the paper used: KL(reference || generated) of a tagger's AudioSet classes. There the
tagger is PANNs' Cnn14, the generated posterior has 1e-6 added within its logarithm, and the sigmoid form leaves out the
absence of a class; here nothing is added, and presence and absence both count.
"""

from typing import Any, Literal

import numpy as np

from focuslab.errors import InputError
from focuslab.metrics.arrays import pairs

Convention = Literal["softmax", "sigmoid"]


def posteriors(logits: Any, convention: Convention = "softmax") -> np.ndarray:
    """Probabilities `[..., K]` in float64 from logits `[..., K]`: one class out of K, or K classes each by itself.

    Of a clip in windows `[windows, K]`, average the posteriors, not the logits: the mean over axis -2 is the posterior
    of a window taken at random, and for one window itself.

    Parameters
    ----------
    logits : array `[..., K]`
    convention : {"softmax", "sigmoid"}

    Returns
    -------
    array `[..., K]`, float64
    """
    _check(convention)
    logits = np.asarray(logits, dtype=np.float64)
    if convention == "sigmoid":
        return np.exp(-np.logaddexp(0, -logits))
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def kl_divergence(p: Any, q: Any, convention: Convention = "softmax") -> float:
    """Mean over captions of KL(p || q) in nats.

    It is not symmetric; shuffling both alike changes nothing. 0 log 0 is 0, and where q rules out what p does not, the
    result is infinite (logits within 30 of each other make no such `posteriors`).

    Parameters
    ----------
    p, q : array `[N, K]`
        The posteriors of the reference and of what was generated; row i of both belongs to caption i.
    convention : {"softmax", "sigmoid"}
        "softmax": a row is a distribution over K classes, sum p log(p / q). "sigmoid": a row is K independent yes-or-no
        distributions, sum p log(p / q) + (1 - p) log((1 - p) / (1 - q)).

    Returns
    -------
    float

    Raises
    ------
    InputError
        For different shapes, for what are no probabilities (logits: see `posteriors`) and, with "softmax", for rows
        that do not sum to 1.

    References
    ----------
    As a metric of generated audio: AudioGen, Kreuk et al. 2023, arXiv:2209.15352.
    """
    return float(kl_by_pair(p, q, convention).mean())


def kl_by_pair(p: Any, q: Any, convention: Convention = "softmax") -> np.ndarray:
    """One divergence a caption, whose mean is `kl_divergence(p, q, convention)`.

    Parameters
    ----------
    p, q, convention
        As of `kl_divergence`.

    Returns
    -------
    array `[N]`, in nats
    """
    _check(convention)
    p, q = pairs(p, q, "p", "q")
    p, q = _probabilities(p, "p", convention), _probabilities(q, "q", convention)
    terms = _relative_entropy(p, q)
    if convention == "sigmoid":
        terms = terms + _relative_entropy(1 - p, 1 - q)
    # Never below 0 but for rounding.
    return np.maximum(terms.sum(axis=1), 0)


def _relative_entropy(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(p > 0, p * (np.log(p) - np.log(q)), 0)


def _probabilities(values: np.ndarray, name: str, convention: str) -> np.ndarray:
    if values.min() < 0 or values.max() > 1 + 1e-6:
        raise InputError(
            f"{name} reaches from {values.min():.4g} to {values.max():.4g}, expected probabilities from 0 to 1: turn "
            "logits into them with posteriors()"
        )
    if convention == "sigmoid":
        return np.minimum(values, 1)
    sums = values.sum(axis=1, keepdims=True)
    if np.abs(sums - 1).max() > 1e-3:
        worst = int(np.abs(sums - 1).argmax())
        raise InputError(
            f"row {worst} of {name} sums to {sums[worst, 0]:.4g}, expected 1: for classes that exclude each other not, "
            "say convention='sigmoid'"
        )
    return values / sums


def _check(convention: str) -> None:
    if convention not in ("softmax", "sigmoid"):
        raise InputError(f"convention {convention!r} is not known: expected 'softmax' or 'sigmoid'")


def clap_score(audio: Any, text: Any) -> float:
    """Mean cosine, -1 to 1, of embeddings of sounds `[N, D]` and of their captions `[N, D]`; row i of both is one clip.

    Tables show it in percent. Of a clip in windows, average the windows' embeddings first. Scores of different
    checkpoints cannot be compared, and a model scored by the CLAP that conditions it is flattered: name the checkpoint.

    Parameters
    ----------
    audio, text : array `[N, D]`
        The rows need not have length 1.

    Returns
    -------
    float

    Raises
    ------
    InputError
        For different shapes, NaN, or a row of zeros.

    References
    ----------
    CLAP: Wu et al. 2023, arXiv:2211.06687. As a metric of generated audio: Huang et al. 2023, arXiv:2301.12661.
    """
    return float(clap_by_pair(audio, text).mean())


def clap_by_pair(audio: Any, text: Any) -> np.ndarray:
    """One cosine a clip, whose mean is `clap_score(audio, text)`.

    Parameters
    ----------
    audio, text : array `[N, D]`
        As of `clap_score`.

    Returns
    -------
    array `[N]`
    """
    audio, text = pairs(audio, text, "audio", "text")
    return np.einsum("nd,nd->n", _unit(audio, "audio"), _unit(text, "text"))


def _unit(values: np.ndarray, name: str) -> np.ndarray:
    # Scaled first, so that squares neither overflow nor vanish.
    largest = np.abs(values).max(axis=1, keepdims=True)
    if not largest.all():
        raise InputError(f"row {int(largest.argmin())} of {name} is all zeros: it has no direction to compare")
    values = values / largest
    return values / np.linalg.norm(values, axis=1, keepdims=True)
