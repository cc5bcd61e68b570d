"""Attention by its definition, in float64 with the whole map: what every fast form is compared with."""

import torch

from focuslab.attention import reference_attention


def qkv(time, mel_rows, *, heads=2, width=8, batch=2, seed=0, size=1.0, dtype=torch.float32):
    """Three `[B, H, N, D]` tensors laid out as a UNet's projections are; `size` scales the scores."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, time * mel_rows, heads, width)
    q, k, v = (torch.randn(shape, generator=generator).to(dtype).transpose(1, 2) for _ in range(3))
    return q * size, k, v


def focus_attention(q, k, v, mel_rows, *, drawn, **switches):
    """`reference_attention` in float64; `drawn` is any list of indices."""
    index = torch.as_tensor(drawn, dtype=torch.long)
    return reference_attention(q.double(), k.double(), v.double(), mel_rows, cross_keys=index, **switches)


def dense_attention(q, k, v):
    q, k, v = (x.double() for x in (q, k, v))
    return (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1) @ v
