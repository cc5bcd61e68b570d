"""focuslab: where long audio diffusion spends its time, which self-attention can be sparse, what that costs in sound.

Importing this module imports nothing else: each public name is loaded when it is first used.
"""

from importlib import import_module

_NAMES = {
    "errors": ("FocuslabError", "InputError"),
    "hooks.attach": ("detach",),
    "measure.capture": ("capture_attention",),
    "measure.evaluation.evaluate": ("evaluate",),
    "measure.generate": ("generate",),
    "measure.profile": ("profile",),
    "measure.sensitivity": ("measure_sensitivity",),
    "measure.validation": ("validate",),
    "methods": (
        *("Broadcast", "Composition", "DeepCache", "JointDiffusion", "LengthScale", "LiteFocus", "Method", "Plan"),
        *("PooledFocus", "SampledFocus", "TokenMerging", "WindowFocus"),
    ),
    "models.sites": ("find_sites",),
    "models.specs": ("load",),
    "results": ("AttentionRun", "EvaluationRun", "ProfileRun", "SensitivityRun", "ValidationRun"),
    "workflows.recommend": ("recommend",),
}
_HOME = {name: f"focuslab.{module}" for module, names in _NAMES.items() for name in names}
_MODULES = ("attention", "methods", "metrics", "report")

_RENAMED = {"prove": "validate", "ProofRun": "ValidationRun"}
_RENAMED |= {"quality": "metrics", "instrument": "hooks", "records": "results"}

__all__ = [*_HOME, *_MODULES, "__version__"]


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _MODULES:
        return import_module(f"focuslab.{name}")
    if name == "__version__":
        from importlib.metadata import version

        return version("focuslab")
    hint = f": it is called focuslab.{_RENAMED[name]} now" if name in _RENAMED else ""
    raise AttributeError(f"module 'focuslab' has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted(__all__)
