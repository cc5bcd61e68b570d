"""The machine and the versions that a number was made with."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("focuslab", "torch", "diffusers", "transformers", "tomesd", "numpy")


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


def machine(device: str) -> dict[str, str | int]:
    """The processor, its threads in torch, and the accelerator that `device` names, where it names one."""
    import torch

    facts: dict[str, str | int] = {
        "system": platform.system(),
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
    }
    if torch.device(device).type == "cuda":
        facts["accelerator"] = torch.cuda.get_device_name(device)
        facts["cuda"] = torch.version.cuda or torch.version.hip or "unknown"
    return facts


def arithmetic(device: str) -> dict[str, str | bool | None]:
    """What torch was told that changes the numbers of a whole program: the precision of products of float32, and the
    dtype of autocast where it is on."""
    import torch

    kind = torch.device(device).type
    matmul = getattr(torch.backends.cuda if kind == "cuda" else torch.backends.mkldnn, "matmul", None)
    # Before torch 2.9 there is one setting for all backends; from then on it may be refused once others were used.
    precision = getattr(matmul, "fp32_precision", None) or torch.get_float32_matmul_precision()
    autocast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    facts = {
        "float32_products": "ieee" if precision in ("none", "highest") else precision,
        "autocast": autocast and str(autocast).removeprefix("torch."),
    }
    return {**facts, "cudnn_tf32": torch.backends.cudnn.allow_tf32} if kind == "cuda" else facts


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
