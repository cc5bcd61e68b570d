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
    "detach": "focuslab.instrument.attach",
    "find_sites": "focuslab.models.sites",
    "capture_attention": "focuslab.capture",
    "AttentionRun": "focuslab.records",
    "profile": "focuslab.profiling",
    "ProfileRun": "focuslab.records",
    "Plan": "focuslab.records",
    "measure_sensitivity": "focuslab.sensitivity",
    "SensitivityRun": "focuslab.records",
    "recommend": "focuslab.recommendation",
    "prove": "focuslab.proof",
    "ProofRun": "focuslab.records",
    "generate": "focuslab.generation",
    "evaluate": "focuslab.evaluation",
    "EvaluationRun": "focuslab.records",
    "FocuslabError": "focuslab.errors",
    "InputError": "focuslab.errors",
}
_MODULES = ("attention", "methods", "quality", "report")

__all__ = [*_HOME, *_MODULES, "__version__"]


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _MODULES:
        return import_module(f"focuslab.{name}")
    if name == "__version__":
        from importlib.metadata import version

        return version("focuslab")
    raise AttributeError(f"module 'focuslab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
