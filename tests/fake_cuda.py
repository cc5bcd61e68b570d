"""CUDA tensors without contents on a machine without CUDA: what is launched, and whether anything waits for values.

An operation that needs a value raises `DataDependentOutputException` on fake tensors.
"""

from collections import Counter

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("cuda:0")
aten = torch.ops.aten


class CudaBindings(TorchFunctionMode):
    """A torch without CUDA has no device guard for it, which the Python bindings of a few methods ask for. These run by
    operators without one, and `scaled_dot_product_attention` by the fused kernel that CUDA would have chosen."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            q, k, v, *_ = args
            mask = kwargs.get("attn_mask")
            bias = None if mask is None else mask.expand(*q.shape[:3], k.shape[2])
            return aten._scaled_dot_product_efficient_attention(q, k, v, bias, False, scale=kwargs.get("scale"))[0]
        if not (args and isinstance(args[0], Tensor) and args[0].is_cuda):
            return func(*args, **kwargs)
        if func is Tensor.contiguous:
            return args[0] if args[0].is_contiguous() else args[0].clone(memory_format=torch.contiguous_format)
        if func is Tensor.__getitem__:
            return _part(*args)
        if func is Tensor.__setitem__:
            part, value = _part(*args[:2]), args[2]
            return aten.copy_(part, value) if isinstance(value, Tensor) else aten.fill_(part, value)
        return func(*args, **kwargs)


class Launches(TorchDispatchMode):
    """Counts operations that make or change a CUDA tensor, views left out, and copies from the host to the device."""

    def __init__(self):
        super().__init__()
        self.operations: Counter[str] = Counter()
        self.copies = 0

    @property
    def total(self) -> int:
        return self.operations.total()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        made = [x for x in (out if isinstance(out, (tuple, list)) else [out]) if isinstance(x, Tensor) and x.is_cuda]
        if made and not func.is_view and func not in (aten._unsafe_view.default, aten.detach.default):
            self.operations[func.name()] += 1
            self.copies += func.overloadpacket in (aten._to_copy, aten.copy_) and any(
                isinstance(x, Tensor) and x.device.type == "cpu" for x in args
            )
        return out


def to_fake_cuda(unet: torch.nn.Module, dtype: torch.dtype) -> None:
    """A UNet on meta tensors, its weights changed in place for fake ones. Within a `FakeTensorMode`."""
    for module in unet.modules():
        for name, weight in list(module._parameters.items()):
            if weight is not None:
                fake = torch.empty(weight.shape, dtype=dtype, device=DEVICE)
                module._parameters[name] = torch.nn.Parameter(fake, requires_grad=False)


def _part(x: Tensor, index) -> Tensor:
    index = list(index) if isinstance(index, tuple) else [index]
    for at, item in enumerate(index):
        if item is Ellipsis:
            given = sum(other is not None and other is not Ellipsis for other in index)
            index[at : at + 1] = [slice(None)] * (x.ndim - given)
            break
    dim, tensors = 0, []
    for item in index:
        if item is None:
            x = x.unsqueeze(dim)
        elif isinstance(item, int):
            x = x.select(dim, item)
            continue
        elif isinstance(item, slice):
            x = aten.slice(x, dim, item.start, item.stop, item.step or 1)
        else:
            tensors += [None] * (dim - len(tensors)) + [item]
        dim += 1
    return aten.index(x, tensors) if tensors else x
