"""How the components of a pipeline are set up: all that changes what they compute beside their weights."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from focuslab.models.callables import is_foreign, what_it_does
from focuslab.models.sites import PLAIN_PROCESSORS

_PASSING = ("architectures", "dtype", "torch_dtype", "transformers_version")
"""Fields of a configuration that depend on how it was saved; so do all that begin with an underscore."""


def settings_digest(component: Any) -> str:
    """Tell apart components that differ in anything but weights.

    Parameters
    ----------
    component : Any
        A network, of which the classes, numbers and attention processors of all its modules count, and the forwards and
        hooks that are of no library; a tokenizer, of which the vocabulary and its rules count; or anything else with a
        configuration.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    component = getattr(component, "_orig_mod", component)
    facts: list[Any] = [class_name(component), _configuration(component)]
    if isinstance(component, nn.Module):
        facts += _modules(component)
    elif hasattr(component, "backend_tokenizer"):
        facts += [component.model_max_length, component.padding_side, _rules(component.backend_tokenizer.to_str())]
    elif hasattr(component, "get_vocab"):
        facts += [component.model_max_length, component.padding_side, component.get_vocab()]
    return _digest(facts)


def scheduler_facts(scheduler: Any) -> dict[str, Any]:
    """The class and the configuration of a scheduler, and a digest of the noise levels that it works with."""
    levels = [getattr(scheduler, name, None) for name in ("betas", "alphas_cumprod")]
    return {
        "class": class_name(scheduler),
        **_configuration(scheduler),
        "noise_levels": _digest([level.tolist() for level in levels if isinstance(level, Tensor)]),
        **({"functions": functions} if (functions := _own_functions(scheduler)) else {}),
    }


def _own_functions(thing: Any) -> dict[str, str]:
    """Functions that somebody put in the place of an object's methods, by name."""
    return {name: what_it_does(value) for name, value in sorted(vars(thing).items()) if callable(value)}


def dtypes_of(module: nn.Module) -> str:
    """The floating-point dtypes of a network's parameters."""
    found = {str(p.dtype).removeprefix("torch.") for p in module.parameters() if p.is_floating_point()}
    return " and ".join(sorted(found))


def adapters_of(module: nn.Module) -> dict[str, Any]:
    """Adapters as peft inserts them: their scales by name, which are active, fused, or switched off, and a digest of
    all this layer by layer. Empty where there are none."""
    layers: dict[str, dict[str, Any]] = {
        name: {
            "scales": {adapter: float(scale) for adapter, scale in getattr(layer, "scaling", {}).items()},
            "active": list(layer.active_adapters),
            "fused": list(layer.merged_adapters),
            "switched_off": bool(layer.disable_adapters),
        }
        for name, layer in _named_modules(module)
        if "merged_adapters" in vars(layer)
    }
    if not layers:
        return {}
    found = list(layers.values())
    scales = {pair for layer in found for pair in layer["scales"].items()}
    return {
        "scales": {name: sorted(scale for of, scale in scales if of == name) for name, _ in sorted(scales)},
        "active": sorted({name for layer in found for name in layer["active"]}),
        "fused": sorted({name for layer in found for name in layer["fused"]}),
        "switched_off": any(layer["switched_off"] for layer in found),
        "layers": _digest(layers),
    }


def special_processors(module: nn.Module) -> dict[str, int]:
    """How many attention processors of each kind a network has, but for those that compute plain attention.

    Those of focuslab are named by the method that is attached, others by their class and the numbers that they hold. A
    cache that is attached counts among them, once for each module whose forward it has.
    """
    parts = [part for _, part in _named_modules(module)]
    processors = [processor for part in parts if (processor := _processor_of(part)) is not None]
    found = [_described(processor) for processor in processors if not _is_plain(processor)]
    forwards = [forward for part in parts if (forward := vars(part).get("forward")) is not None]
    found += [repr(forward) for forward in forwards if type(forward).__module__.startswith("focuslab.")]
    return dict(sorted(Counter(found).items()))


def class_name(thing: Any) -> str:
    """The name of a class of the libraries or of focuslab; of any other class, with its module."""
    kind = type(thing)
    known = kind.__module__.startswith(("diffusers.", "transformers.", "focuslab."))
    return kind.__name__ if known else f"{kind.__module__}.{kind.__qualname__}"


def _is_plain(processor: Any) -> bool:
    kind = type(processor)
    return kind.__module__ == "diffusers.models.attention_processor" and kind.__name__ in PLAIN_PROCESSORS


def _processor_of(module: nn.Module) -> Any:
    # Not by getattr, which takes most of the time where a module lacks it.
    return vars(module).get("processor") or module._modules.get("processor")


def _described(processor: Any) -> str:
    if type(processor).__module__.startswith("focuslab."):
        return repr(processor)
    numbers = ", ".join(f"{name}={value}" for name, value in _numbers(processor).items())
    return class_name(processor) + (f"({numbers})" if numbers else "")


def _modules(network: nn.Module) -> Iterator[Any]:
    for name, module in _named_modules(network):
        processor = _processor_of(module)
        yield name, class_name(module), _numbers(module), processor and _described(processor)
        # Most modules have none, and what a run is stays what earlier versions recorded.
        if foreign := _foreign_functions(module):
            yield name, foreign


def _foreign_functions(module: nn.Module) -> list[str]:
    """The forward and the hooks of a module that somebody put there."""
    given = [vars(module)[name] for name in ("forward", "_old_forward") if name in vars(module)]
    given += [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
    return [what_it_does(function) for function in given if is_foreign(function)]


def _named_modules(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """All modules by name, without those that torch.compile puts around others."""
    for name, module in network.named_modules():
        if "_orig_mod" not in module._modules:
            yield name.replace("_orig_mod.", "").replace("._orig_mod", ""), module


def _numbers(thing: Any) -> dict[str, Any]:
    """The public attributes that are numbers, or several in a tuple or list."""
    return {name: value for name, value in vars(thing).items() if name[0] != "_" and _is_numeric(value)}


def _is_numeric(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_numeric, value))
    return isinstance(value, (int, float))


def _configuration(component: Any) -> dict[str, Any]:
    config = getattr(component, "config", component)
    content = config if isinstance(config, Mapping) else config.to_dict() if hasattr(config, "to_dict") else {}
    # A configuration may hold arrays, of betas for instance, and infinity, which is no JSON. Tuples become lists when
    # it is saved.
    return json.loads(json.dumps(_lasting(content), default=_as_text), parse_constant=str)


def _as_text(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _lasting(content: Any) -> Any:
    if not isinstance(content, Mapping):
        return content
    return {
        str(name): _lasting(value)
        for name, value in content.items()
        if not str(name).startswith("_") and name not in _PASSING
    }


def _rules(tokenizer: str) -> Any:
    """All of a fast tokenizer but how it pads and truncates, which changes with each call."""
    return {name: value for name, value in json.loads(tokenizer).items() if name not in ("padding", "truncation")}


def _digest(facts: Any) -> str:
    return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=8).hexdigest()
