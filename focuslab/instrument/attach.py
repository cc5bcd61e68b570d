"""Put processors into a UNet and take them out again, leaving exactly what was there."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from focuslab.errors import FocuslabError, InputError
from focuslab.grid import Grid
from focuslab.instrument.processors import SiteCall, SiteProcessor, check_plain
from focuslab.models.lengths import training_frames
from focuslab.models.sites import Site, find_sites, grid_of_input, select_sites, unet_of

SiteForward = Callable[[nn.Module, Tensor, SiteCall], Tensor]


class Handle:
    """What `attach` returns: `remove()` puts every original processor back; also a context manager.

    `sites` are the sites taken over, `grids` their grids by name as last seen running (empty before the first step).
    """

    def __init__(self, sites: tuple[Site, ...], grids: dict[str, Grid], undo: list[Callable[[], None]]):
        self.sites = sites
        self.grids = grids
        self._undo = undo

    def remove(self) -> None:
        """Restore the processors and remove the hooks. A second call does nothing."""
        while self._undo:
            self._undo.pop()()

    def __enter__(self) -> "Handle":
        return self

    def __exit__(self, *_exception) -> None:
        self.remove()

    def __repr__(self) -> str:
        state = "attached" if self._undo else "removed"
        return f"<Handle: {len(self.sites)} sites, {state}>"


def attach(pipe, patterns: Sequence[str] | str | None, forward: SiteForward) -> Handle:
    """Let `forward` compute the self-attention sites of a pipeline (or UNet) that `patterns` name.

    Patterns are those of `select_sites`. Raises `InputError`, with nothing changed, when a pattern matches nothing, a
    site is already taken over, or a site is more than plain self-attention.
    """
    unet = unet_of(pipe)
    sites = select_sites(find_sites(unet), patterns)
    modules = {site.name: unet.get_submodule(site.name) for site in sites}
    for name, attn in modules.items():
        if isinstance(attn.processor, SiteProcessor):
            raise InputError(f"{name} already has a focuslab method attached: remove that one first")
        check_plain(attn, name)

    state = _RunningState(pipe)
    undo: list[Callable[[], None]] = []
    try:
        undo.append(unet.register_forward_pre_hook(state.on_step).remove)
        for holder in dict.fromkeys(site.holder for site in sites):
            hook = state.grid_reader([site.name for site in sites if site.holder == holder])
            undo.append(unet.get_submodule(holder).register_forward_pre_hook(hook, with_kwargs=True).remove)
        for site in sites:
            attn = modules[site.name]
            undo.append(_restorer(attn, attn.processor))
            attn.set_processor(SiteProcessor(site, forward, state.call))
    except BaseException:
        Handle(sites, {}, undo).remove()
        raise
    return Handle(sites, state.grids, undo)


def _restorer(attn: nn.Module, processor) -> Callable[[], None]:
    return lambda: attn.set_processor(processor)


class _RunningState:
    """The step and the grids of the generation that is running, kept by hooks without waiting for the device."""

    def __init__(self, pipe):
        self._pipe = pipe
        self._timesteps = None
        self._step = -1
        self.grids: dict[str, Grid] = {}

    def on_step(self, _unet, _args) -> None:
        # Schedulers make a new tensor of timesteps for each generation. Which one it is tells the beginning of a
        # generation without reading a timestep, for which a CUDA device would have to be waited for.
        timesteps = getattr(getattr(self._pipe, "scheduler", None), "timesteps", None)
        if timesteps is not self._timesteps:
            self._timesteps, self._step = timesteps, -1
        self._step += 1

    def grid_reader(self, names: list[str]):
        def read(_module, args, kwargs):
            grid = grid_of_input(args[0] if args else kwargs["hidden_states"])
            self.grids.update(dict.fromkeys(names, grid))

        return read

    def call(self, site: Site) -> SiteCall:
        grid = self.grids.get(site.name)
        if grid is None:
            raise FocuslabError(f"{site.name} ran outside of its Transformer2DModel, so its grid is not known")
        return SiteCall(site, grid, max(self._step, 0), self._training_grid(site, grid))

    def _training_grid(self, site: Site, grid: Grid) -> Grid | None:
        frames = training_frames(unet_of(self._pipe))
        return None if frames is None else Grid(site.time_steps(frames), grid.mel_rows)
