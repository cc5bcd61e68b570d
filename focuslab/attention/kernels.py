"""Attention that also returns its log-sum-exp, and unfused attention.

`F.scaled_dot_product_attention` never returns the log-sum-exp of its scores, though its kernels compute it. The
kernels are reachable as private ATen operators; they sit behind `attention_with_lse`, which tries each one once on
small tensors against `torch.logsumexp` and falls back to a blockwise computation where none agrees.
"""

import logging
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import unset_fake_temporarily

from focuslab.errors import InputError

logger = logging.getLogger(__name__)

LSE_TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}
"""Largest difference of a kernel's log-sum-exp from `torch.logsumexp` at which the probe accepts it, by dtype."""

FALLBACK_BLOCK_BYTES = 64 * 2**20
"""Score bytes held at once by the blockwise fallback."""


def check_qkv(q: Tensor, k: Tensor, v: Tensor) -> None:
    """Raise `InputError` unless q, k, v are `[B, H, N, D]` of one shape, floating dtype and device."""
    if q.ndim != 4 or q.shape != k.shape or q.shape != v.shape:
        raise InputError(
            f"self-attention needs q, k and v of one shape [B, H, N, D], not "
            f"{tuple(q.shape)}, {tuple(k.shape)} and {tuple(v.shape)}"
        )
    if not q.is_floating_point() or q.dtype != k.dtype or q.dtype != v.dtype:
        raise InputError(f"q, k and v must share one floating dtype, not {q.dtype}, {k.dtype} and {v.dtype}")
    if q.device != k.device or q.device != v.device:
        raise InputError(f"q, k and v must be on one device, not {q.device}, {k.device} and {v.device}")


def attention_with_lse(q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None) -> tuple[Tensor, Tensor]:
    """Softmax attention and the log-sum-exp of its scaled scores.

    Not differentiable through the log-sum-exp.

    Parameters
    ----------
    q, k, v
        `[B, H, N, D]` and twice `[B, H, M, D]`.
    scale
        Factor on the scores, 1/sqrt(D) by default.

    Returns
    -------
    out : Tensor
        `[B, H, N, D]` in the dtype of q.
    lse : Tensor
        `[B, H, N]` in float32, or float64 for float64.
    """
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    kernel = lse_kernel(q.device.type, q.dtype, q.shape[-1])
    return (kernel or blockwise_attention_with_lse)(q, k, v, scale)


def eager_attention(q: Tensor, k: Tensor, v: Tensor, *, bias: Tensor | None = None, scale: float | None = None):
    """Unfused softmax(Q K^T + bias) V, which holds the whole N x M map.

    The paper's speed-ups were measured against attention computed like this.

    Parameters
    ----------
    q, k, v
        `[B, H, N, D]` and twice `[B, H, M, D]`.
    bias
        Added to the scores, of any shape that broadcasts to `[B, H, N, M]`.
    scale
        Factor on the scores, 1/sqrt(D) by default.

    Returns
    -------
    Tensor
        `[B, H, N, D]`.
    """
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    scores = q @ k.transpose(-1, -2) * scale
    if bias is not None:
        scores = scores + bias
    return scores.softmax(dim=-1) @ v


def blockwise_attention_with_lse(q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """`attention_with_lse` on any device, a block of queries at a time, so that memory stays bounded."""
    wide = torch.promote_types(q.dtype, torch.float32)
    batch, heads, tokens, _ = q.shape
    rows = max(1, FALLBACK_BLOCK_BYTES // max(1, batch * heads * k.shape[2] * wide.itemsize))
    keys, values = k.to(wide).transpose(-1, -2), v.to(wide)
    out = torch.empty_like(q)
    lse = torch.empty(batch, heads, tokens, dtype=wide, device=q.device)
    for start in range(0, tokens, rows):
        block = slice(start, start + rows)
        scores = q[:, :, block].to(wide) * scale @ keys
        lse[:, :, block] = scores.logsumexp(dim=-1)
        out[:, :, block] = (scores - lse[:, :, block, None]).exp() @ values
    return out, lse


def _cpu_flash(q, k, v, scale):
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, scale=scale)


def _cuda_flash(q, k, v, scale):
    out, lse, *_ = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v, scale=scale)
    return out, lse


def _cuda_efficient(q, k, v, scale):
    out, lse, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(q, k, v, None, True, scale=scale)
    # This kernel pads the length of its log-sum-exp to a multiple of 32.
    return out, lse[:, :, : q.shape[2]]


KERNELS: dict[str, tuple[Callable, ...]] = {"cpu": (_cpu_flash,), "cuda": (_cuda_flash, _cuda_efficient)}


def lse_kernel_name(device_type: str, dtype: torch.dtype, head_width: int) -> str:
    """Name of the fused kernel that `attention_with_lse` runs there, or "unfused" where there is none."""
    kernel = lse_kernel(device_type, dtype, head_width)
    return "unfused" if kernel is None else kernel.__name__.removeprefix("_")


@cache
def lse_kernel(device_type: str, dtype: torch.dtype, head_width: int) -> Callable | None:
    """The fused kernel for this device type, dtype and head width that returns a right log-sum-exp, or None.

    Each candidate is tried once a process. On "meta" the CPU kernel stands for all: it has the shapes of a fused one.
    """
    if device_type == "meta":
        return _cpu_flash
    index = _first_right_kernel(device_type, dtype, head_width)
    return None if index is None else KERNELS[device_type][index]


@torch.compiler.assume_constant_result
def _first_right_kernel(device_type: str, dtype: torch.dtype, head_width: int) -> int | None:
    """Index into `KERNELS[device_type]`. A compiler runs this instead of tracing it, so the probe is in no graph."""
    tolerance = LSE_TOLERANCE.get(dtype)
    candidates = KERNELS.get(device_type, ()) if tolerance is not None else ()
    if candidates and device_type == "cuda" and not torch.cuda.is_available():
        # Tensors of a device that is not there are fake: they have no values to compare.
        return 0
    # Under autocast the reference itself would be computed in half precision.
    with unset_fake_temporarily(), torch.autocast(device_type, enabled=False):
        # An odd length shows a padded log-sum-exp, strides as in a UNet a kernel that wants contiguous tensors.
        generator = torch.Generator("cpu").manual_seed(0)
        q, k, v = (
            torch.randn(2, 35, 3, head_width, generator=generator, dtype=torch.float32, device="cpu")
            .to(device_type, dtype)
            .transpose(1, 2)
            for _ in range(3)
        )
        for index, kernel in enumerate(candidates):
            expected_out, expected = blockwise_attention_with_lse(q, k, v, head_width**-0.5)
            try:
                out, lse = kernel(q, k, v, head_width**-0.5)
            except (RuntimeError, NotImplementedError, AttributeError):
                continue
            if (
                lse.shape == expected.shape
                and torch.allclose(lse.float(), expected.float(), rtol=0, atol=tolerance)
                and torch.allclose(out.float(), expected_out.float(), rtol=0, atol=tolerance)
            ):
                return index
    logger.warning(
        "no fused attention of this torch returns log-sum-exps for %s, %s, heads of width %d: they are computed "
        "unfused, a block of queries at a time, which takes longer",
        device_type,
        str(dtype).removeprefix("torch."),
        head_width,
    )
    return None
