"""The paper's tables as numbers, and in what a measurement of ours differs from how they were made.

Source: Tan et al. 2024, arXiv:2407.10468, Tables 1 to 3 and section 4.1. What the metrics are, which the paper does not
say, is read off the tool that it names (github.com/haoheliu/audioldm_eval).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from focuslab.runs.method_spec import PAPER_FRACTION, MethodSpec

MODEL = "cvssp/audioldm2"
"""The checkpoint audioldm2-full in the layout of diffusers."""
STEPS, CAPTIONS = 200, 4845
SPEEDUP = "speedup_vs_dense"
METRICS = ("frechet", "kl_softmax", "clap", SPEEDUP)
"""Our names of the columns FAD, KL, CLAP and Speed; CLAP is a cosine here and percent there."""

Rows = Mapping[float, Sequence[float | None]]

_DENSE: Rows = {
    10: (2.89, 1.82, 0.198, 1.0),
    20: (4.97, 2.01, 0.160, 1.0),
    30: (5.97, 2.20, 0.132, None),
    40: (6.72, 2.27, 0.128, 1.0),
    80: (7.74, 2.41, 0.108, 1.0),
}
_LITEFOCUS: Rows = {
    10: (4.17, 1.86, 0.181, 1.02),
    20: (3.72, 1.79, 0.178, 1.43),
    40: (5.40, 2.12, 0.138, 1.94),
    80: (6.56, 2.28, 0.122, 1.99),
}
_TOME: Rows = {
    10: (3.73, 1.85, 0.197, 1.01),
    20: (7.67, 2.22, 0.155, 1.25),
    40: (7.85, 2.43, 0.119, 1.40),
    80: (8.95, 2.54, 0.102, 1.56),
}
_SAME_FREQUENCY: Rows = {
    10: (7.26, 1.98, 0.164),
    20: (5.10, 1.86, 0.169),
    30: (5.70, 1.96, 0.153),
    40: (6.06, 2.04, 0.144),
    80: (6.24, 2.19, 0.125),
}
_CROSS_FREQUENCY: Mapping[float, Rows] = {
    0.8: {10: (2.97, 1.84, 0.196), 20: (4.98, 1.99, 0.158), 30: (5.91, 2.21, 0.132), 40: (6.71, 2.25, 0.127)},
    0.6: {10: (3.08, 1.81, 0.195), 20: (4.97, 1.98, 0.152), 30: (5.94, 2.20, 0.136), 40: (6.72, 2.25, 0.123)},
    0.4: {10: (3.20, 1.85, 0.195), 20: (5.00, 1.99, 0.156), 30: (6.51, 2.24, 0.136), 40: (6.79, 2.27, 0.121)},
    0.2: {10: (3.88, 1.98, 0.183), 20: (5.13, 1.99, 0.155), 30: (6.56, 2.22, 0.131), 40: (6.85, 2.26, 0.119)},
}
_EMBEDDERS = {"frechet": ("vggish", "VGGish"), "kl_softmax": ("cnn14", "Cnn14 of PANNs")}
"""Metric -> a part of its embedder's checkpoint, and its name."""
_TOOL = {
    "kl_softmax": "the paper's tool adds 1e-6 to each probability",
    "clap": "the paper does not name its CLAP, and its tool puts that of an empty caption for one embedding in ten",
}
"""What no protocol of ours has."""


def paper_value(seconds: float, label: str, metric: str) -> float | None:
    """The number of the paper for a method (by our label) at a length, in our units; None where it has none."""
    rows = _rows(label)
    values = rows.get(seconds) if rows else None
    place = METRICS.index(metric) if metric in METRICS else len(METRICS)
    return values[place] if values and place < len(values) else None


def _rows(label: str) -> Rows | None:
    method = MethodSpec.parse(label)
    name, given = method.name, method.parameters
    # Which way keys are drawn and with which seed is how a method is carried out, not which one it is.
    does = {key: value for key, value in given.items() if key not in ("seed", "sampling")}
    if method.sites:
        return None
    if name == "cross-frequency" and does.keys() == {"cross_fraction"}:
        return _CROSS_FREQUENCY.get(does["cross_fraction"])
    if name == "litefocus" and does == {"cross_fraction": PAPER_FRACTION}:
        does = {}
    return {"dense": _DENSE, "litefocus": _LITEFOCUS, "tome": _TOME, "same-frequency": _SAME_FREQUENCY}.get(
        "" if does else name
    )


def differences(metric: str, summary: Mapping[str, Any], info: Any) -> list[str]:
    """How the protocol of an evaluation (its summary and `RunInfo`) differs from the paper's for this metric.

    One reason each, in words; where the list is empty the paper's number may stand beside ours.
    """
    if metric not in METRICS:
        return ["the paper does not have it"]
    made = [(f"the model is {info.model['name']} and not {MODEL}", info.model["name"] != MODEL)]
    if metric == SPEEDUP:
        machine = str(info.machine.get("accelerator") or info.machine.get("processor"))
        made += [
            ("the paper's is over unfused attention", True),
            (f"the machine is {machine} and not an A6000", "A6000" not in machine),
        ]
        return [reason for reason, differs in made if differs]
    steps, captions, seeds = info.parameters.get("steps"), len(info.prompts), info.parameters.get("seeds")
    seeds = len(seeds) if isinstance(seeds, list) else "an unknown number of"
    about = summary["metrics"].get(metric, {})
    made += [
        (f"it has {steps} denoising steps and not {STEPS}", steps != STEPS),
        (f"it has {captions} captions and not the {CAPTIONS} of AudioCaps", captions != CAPTIONS),
        (f"it has {seeds} clips a caption and not one", seeds != 1),
    ]
    if metric in _EMBEDDERS:
        part, name = _EMBEDDERS[metric]
        checkpoint = str(about.get("checkpoint"))
        made += [
            (f"its embedder is {checkpoint} and not {name}", part not in checkpoint.lower()),
            ("it is not against the recordings of the captions", about.get("reference") != "directory"),
        ]
    if metric in _TOOL:
        made.append((_TOOL[metric], True))
    return [reason for reason, differs in made if differs]
