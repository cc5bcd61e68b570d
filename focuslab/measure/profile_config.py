"""What a profile is asked for."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from focuslab.checks import settle, switch, text
from focuslab.methods import as_methods
from focuslab.methods.base import check_count, check_seed
from focuslab.models.schedulers import check_scheduler_name

PROMPT = "gentle rain on a tin roof, distant thunder"


@dataclass(frozen=True)
class ProfileConfig:
    """What `focuslab.profile` measures.

    `methods` takes several forms, which stand below, and holds methods by label once it is checked.

    Attributes
    ----------
    seconds : float or iterable of float
        Lengths.
    methods : str, iterable of str, or mapping of str to method
        Names with parameters ("litefocus:cross_fraction=0.2", "plan:plan.json"), or label -> method (or plan) for your
        own.
    prompt : str
        What the latents are denoised towards.
    steps : int
        Denoising steps in one timing: the first ones of a long generation. A scheduler of second order calls the UNet
        twice in each.
    repeats : int
        Timings of each method at each length. Medians are of all steps.
    module_repeats : int
        Timings of each method with a clock on every module.
    seed : int
        Of the first noise, and of sampled keys.
    trace : bool
        Write one more step of each method under the torch profiler, as `trace/` in `out`.
    only_steps : bool
        Take the timings and the peak memory alone, without bounds, modules and other stages.
    scheduler : str, optional
        A name of `focuslab.models.schedulers`, for the calls of a step and of the projected generation. By default the
        pipeline's own.
    """

    seconds: Iterable[float] | float = (10, 20, 40, 80)
    methods: Any = ("dense", "litefocus")
    prompt: str = PROMPT
    steps: int = 1
    repeats: int = 3
    module_repeats: int = 1
    seed: int = 0
    trace: bool = False
    only_steps: bool = False
    scheduler: str | None = None

    def __post_init__(self):
        counts = {name: check_count(name, getattr(self, name)) for name in ("steps", "repeats", "module_repeats")}
        flags = {name: switch(name, getattr(self, name)) for name in ("trace", "only_steps")}
        settle(self, methods=as_methods(self.methods), prompt=text("a prompt", self.prompt))
        settle(self, **counts, **flags, seed=check_seed(self.seed), scheduler=check_scheduler_name(self.scheduler))

    def to_json(self) -> dict[str, Any]:
        """The parameters that run.json holds; lengths and methods are those of the pipeline."""
        recorded = {name: getattr(self, name) for name in ("steps", "repeats", "module_repeats", "trace")}
        # What is left at its default is left out, as in runs of earlier versions.
        recorded |= {"only_steps": True} if self.only_steps else {}
        return recorded | ({"scheduler": self.scheduler} if self.scheduler else {})
