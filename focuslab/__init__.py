"""focuslab: where long audio diffusion spends its time, which self-attention can be sparse, what that costs in sound.

Importing this module imports nothing else: each public name is loaded when it is first used.
"""

from importlib import import_module

_HOME = {
    "load": "focuslab.models.specs",
    "LengthScale": "focuslab.methods",
    "LiteFocus": "focuslab.methods",
    "PooledFocus": "focuslab.methods",
    "TokenMerging": "focuslab.methods",
    "Method": "focuslab.methods",
    "detach": "focuslab.hooks.attach",
    "find_sites": "focuslab.models.sites",
    "capture_attention": "focuslab.measure.capture",
    "AttentionRun": "focuslab.results",
    "profile": "focuslab.measure.profile",
    "ProfileRun": "focuslab.results",
    "Plan": "focuslab.methods.plan",
    "measure_sensitivity": "focuslab.measure.sensitivity",
    "SensitivityRun": "focuslab.results",
    "recommend": "focuslab.workflows.recommend",
    "validate": "focuslab.measure.validation",
    "ValidationRun": "focuslab.results",
    "generate": "focuslab.measure.generate",
    "evaluate": "focuslab.measure.evaluation.evaluate",
    "EvaluationRun": "focuslab.results",
    "FocuslabError": "focuslab.errors",
    "InputError": "focuslab.errors",
}
_MODULES = ("attention", "methods", "metrics", "report")

_RENAMED = {
    "prove": "validate",
    "ProofRun": "ValidationRun",
    "quality": "metrics",
    "instrument": "hooks",
    "records": "results",
}

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
