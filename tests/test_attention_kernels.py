import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from focuslab.attention import kernels
from focuslab.attention.kernels import attention_with_lse, blockwise_attention_with_lse, eager_attention, lse_kernel
from tests.brute_force import dense_attention, qkv

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}


def exact(q, k, v):
    scores = q.double() @ k.double().transpose(-1, -2) * q.shape[-1] ** -0.5
    return dense_attention(q, k, v), scores.logsumexp(-1)


@pytest.mark.parametrize("dtype", TOLERANCE)
@settings(max_examples=15, deadline=None)
@given(st.sampled_from([1, 2, 31, 32, 33, 125]), st.sampled_from([1, 8, 32, 40]), st.integers(1, 3), st.integers(0, 99))
def test_output_and_log_sum_exp_are_those_of_the_definition(dtype, tokens, width, heads, seed):
    q, k, v = qkv(tokens, 1, heads=heads, width=width, seed=seed, dtype=dtype)
    out, lse = attention_with_lse(q, k, v)
    expected_out, expected_lse = exact(q, k, v)
    assert out.dtype == dtype and out.shape == q.shape
    assert lse.dtype == torch.promote_types(dtype, torch.float32) and lse.shape == q.shape[:3]
    assert (out - expected_out).abs().max() <= TOLERANCE[dtype]
    assert (lse - expected_lse).abs().max() <= TOLERANCE[dtype]


def test_keys_may_be_more_or_fewer_than_queries_and_the_scale_given():
    q, k, v = qkv(40, 1)
    for chosen in (slice(0, 7), slice(0, 40)):
        out, lse = attention_with_lse(q, k[:, :, chosen], v[:, :, chosen], scale=0.3)
        scores = q.double() @ k[:, :, chosen].double().transpose(-1, -2) * 0.3
        assert (lse - scores.logsumexp(-1)).abs().max() < 1e-5
        assert (out - scores.softmax(-1) @ v[:, :, chosen].double()).abs().max() < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_cpu_has_a_fused_kernel_with_a_log_sum_exp(dtype):
    assert lse_kernel("cpu", dtype, 32) is kernels._cpu_flash


def test_a_kernel_that_is_wrong_or_missing_is_not_used(monkeypatch):
    def wrong(q, k, v, scale):
        out, lse = blockwise_attention_with_lse(q, k, v, scale)
        return out, lse + 0.01

    def missing(q, k, v, scale):
        raise NotImplementedError

    def padded(q, k, v, scale):
        out, lse = blockwise_attention_with_lse(q, k, v, scale)
        return out, torch.nn.functional.pad(lse, (0, 29))

    try:
        for kernel in (wrong, missing, padded):
            monkeypatch.setitem(kernels.KERNELS, "cpu", (kernel,))
            lse_kernel.cache_clear()
            assert lse_kernel("cpu", torch.float32, 32) is None
        monkeypatch.setitem(kernels.KERNELS, "cpu", (missing, blockwise_attention_with_lse))
        lse_kernel.cache_clear()
        assert lse_kernel("cpu", torch.float32, 32) is blockwise_attention_with_lse
    finally:
        lse_kernel.cache_clear()


@pytest.mark.parametrize("block_bytes", [1, 2000, 10**9])
def test_the_fallback_does_not_depend_on_its_block(monkeypatch, block_bytes):
    monkeypatch.setattr(kernels, "FALLBACK_BLOCK_BYTES", block_bytes)
    q, k, v = qkv(33, 2, size=5)
    out, lse = blockwise_attention_with_lse(q, k, v, 8**-0.5)
    expected_out, expected_lse = exact(q, k, v)
    assert (out - expected_out).abs().max() < 1e-5
    assert (lse - expected_lse).abs().max() < 1e-5


def test_the_efficient_cuda_kernel_loses_its_padding(monkeypatch):
    def padding_kernel(q, k, v, bias, compute_lse, scale):
        assert bias is None and compute_lse
        out, lse = blockwise_attention_with_lse(q, k, v, scale)
        return out, torch.nn.functional.pad(lse, (0, -lse.shape[-1] % 32)), None, None

    class Operators:
        _scaled_dot_product_efficient_attention = staticmethod(padding_kernel)

    monkeypatch.setattr(torch.ops, "aten", Operators)
    q, k, v = qkv(33, 1)
    _, lse = kernels._cuda_efficient(q, k, v, 8**-0.5)
    assert lse.shape == (2, 2, 33)


def test_naive_attention_is_dense_attention():
    q, k, v = qkv(17, 2, size=3)
    assert (eager_attention(q, k, v) - dense_attention(q, k, v)).abs().max() < 1e-5
    bias = torch.zeros(34)
    bias[3] = -torch.inf
    kept = [n for n in range(34) if n != 3]
    without = dense_attention(q, k, v)[:, :, :0]  # only for its dtype and device
    expected = (q.double() @ k[:, :, kept].double().mT * 8**-0.5).softmax(-1) @ v[:, :, kept].double()
    assert (eager_attention(q, k, v, bias=bias) - expected.to(without)).abs().max() < 1e-5
