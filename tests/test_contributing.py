"""The method that CONTRIBUTING.md shows: it gets a name by its file alone, and runs."""

import re
import sys
from pathlib import Path

import pytest
import torch

import focuslab.methods
from focuslab.attention.grid import Grid
from focuslab.methods import parse_method
from focuslab.methods.catalogue import catalogue
from focuslab.models.sites import find_sites
from tests.small_unet import inputs_of, small_unet

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
SOURCE = re.search(r"<!-- a method: .*? -->\n```python\n(.*?)```", TEXT, re.DOTALL)[1]


@pytest.fixture
def strided(tmp_path, monkeypatch):
    """The file in a folder of its own, beside those of the package."""
    (tmp_path / "strided.py").write_text(SOURCE)
    monkeypatch.setattr(focuslab.methods, "__path__", [*focuslab.methods.__path__, str(tmp_path)])
    catalogue.cache_clear()
    yield parse_method("strided:every=2:sites=*")
    catalogue.cache_clear()
    sys.modules.pop("focuslab.methods.strided")


def test_the_example_has_a_name_and_a_density(strided):
    assert "strided" in catalogue() and strided.every == 2
    assert strided.density(Grid(5, 4)) == 3 / 5


def test_the_example_changes_what_a_unet_computes(strided):
    unet = small_unet()
    with torch.no_grad():
        dense = unet(**inputs_of(5))[0]
        with strided(unet) as handle:
            sparse = unet(**inputs_of(5))[0]
    assert len(handle.sites) == len(find_sites(unet))
    assert sparse.shape == dense.shape and 0 < (sparse - dense).abs().max() < 10
