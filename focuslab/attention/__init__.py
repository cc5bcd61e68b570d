"""Pure tensor mathematics of sparse self-attention: knows torch, knows no model.

Shapes are `[B, H, N, D]`: batch, heads, tokens, head width.
"""

from focuslab.attention.kernels import attention_with_lse, eager_attention
from focuslab.attention.keys import CrossKeys, sample_cross_keys
from focuslab.attention.litefocus import litefocus_attention
from focuslab.attention.mass import focus_recall, mass_by_label, same_frequency_mass
from focuslab.attention.pooling import pooled_attention
from focuslab.attention.reference import reference_attention
from focuslab.attention.statistics import attention_entropy
from focuslab.attention.token_merging import match_tokens

__all__ = [
    "CrossKeys",
    "attention_entropy",
    "attention_with_lse",
    "eager_attention",
    "focus_recall",
    "litefocus_attention",
    "mass_by_label",
    "match_tokens",
    "pooled_attention",
    "reference_attention",
    "same_frequency_mass",
    "sample_cross_keys",
]
