"""What is public says what it takes and gives, in numpy's sections."""

import importlib
import inspect
import re

import pytest

MODULES = ("focuslab", "focuslab.attention", "focuslab.methods", "focuslab.metrics")


def public():
    for module in map(importlib.import_module, MODULES):
        for name in module.__all__:
            found = getattr(module, name)
            if inspect.isfunction(found) or (inspect.isclass(found) and not issubclass(found, Exception)):
                yield pytest.param(found, id=f"{module.__name__}.{name}")


def sections(documented) -> set[str]:
    return set(re.findall(r"^(\w+)\n-{3,}$", inspect.getdoc(documented) or "", re.MULTILINE))


@pytest.mark.parametrize("documented", public())
def test_parameters_and_what_is_returned_are_documented(documented):
    signature, found = inspect.signature(documented), sections(documented)
    if signature.parameters:
        assert found & ({"Parameters", "Attributes"} if inspect.isclass(documented) else {"Parameters"})
    if inspect.isfunction(documented) and signature.return_annotation not in (None, "None"):
        assert "Returns" in found
