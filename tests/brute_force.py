"""Attention by its definition, in float64 with the whole map: what every fast form is compared with."""

import torch


def qkv(time, mel_rows, *, heads=2, width=8, batch=2, seed=0, size=1.0, dtype=torch.float32):
    """Three `[B, H, N, D]` tensors laid out as a UNet's projections are; `size` scales the scores."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, time * mel_rows, heads, width)
    q, k, v = (torch.randn(shape, generator=generator).to(dtype).transpose(1, 2) for _ in range(3))
    return q * size, k, v


def focus_attention(q, k, v, mel_rows, *, same_frequency, drawn, overlap, cross_weight):
    """Each key counts as often, or as much, as the definition of the focus set says; `drawn` is any list of indices."""
    q, k, v = (x.double() for x in (q, k, v))
    tokens = torch.arange(q.shape[2])
    own = (tokens[:, None] % mel_rows == tokens[None] % mel_rows).double()
    in_drawn = torch.zeros(len(tokens), dtype=torch.double)
    in_drawn[torch.as_tensor(drawn, dtype=torch.long)] = 1
    if overlap == "twice":
        counts = own * same_frequency + in_drawn
    else:
        own_share = own if same_frequency else own * in_drawn
        counts = own_share + (1 - own) * in_drawn * cross_weight
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    return (scores + counts.log()).softmax(-1) @ v


def dense_attention(q, k, v):
    q, k, v = (x.double() for x in (q, k, v))
    return (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1) @ v
