"""Scores that keep attention as sharp over more keys than in training as it was there.

The entropy of a softmax grows with the number N of its keys, so beyond the training length attention is diluted. Scores
multiplied by log N / log N_train counter that. Source: Su 2021, kexue.fm/archives/8823; Chiang & Cholak 2022,
arXiv:2202.12172. (For images of other sizes Jin et al. 2023, arXiv:2306.08645, take the square root of that factor.)
"""

import math

from focuslab.errors import InputError


def length_factor(tokens: int, training_tokens: int) -> float:
    """What scores over `tokens` keys are multiplied by: log N / log N_train, and 1 up to N_train.

    Raises `InputError` for fewer than two tokens in training, whose logarithm says nothing.
    """
    if training_tokens < 2:
        raise InputError(f"length scaling needs two tokens or more at the training length, not {training_tokens}")
    return max(1.0, math.log(max(tokens, 1)) / math.log(training_tokens))
