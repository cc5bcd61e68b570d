"""Nothing here may reach a hub, and one small pipeline serves all tests."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers share the cores

import pytest


def pytest_runtest_setup(item):
    import torch

    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")


@pytest.fixture(scope="session", autouse=True)
def one_dry_run_of_each():
    """What a method would cost is computed once, whichever commands ask for it."""
    from tests.quick import remember_meta_costs

    patch = pytest.MonkeyPatch()
    remember_meta_costs(patch)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def session_pipe():
    from focuslab import load

    pipe = load("random:tiny", "cpu", "float32")
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="session")
def family_pipes(session_pipe):
    """family_pipes("tango") -> its small random pipeline; "tiny" is random:tiny."""
    from focuslab import load

    made = {"tiny": session_pipe}

    def make(name):
        if name not in made:
            made[name] = load(f"random:tiny-{name}", "cpu", "float32")
            made[name].set_progress_bar_config(disable=True)
        return made[name]

    return make


@pytest.fixture(scope="session")
def saved(session_pipe, tmp_path_factory):
    """The directory of random:tiny as `save_pretrained` makes it; to change it, copy it."""
    path = tmp_path_factory.mktemp("models") / "saved"
    session_pipe.save_pretrained(path)
    return path


@pytest.fixture
def pipe(session_pipe):
    """random:tiny; whatever a test does to its UNet's processors and hooks has to be undone by the end of it."""
    processors = {name: id(p) for name, p in session_pipe.unet.attn_processors.items()}
    hooks = _hooks(session_pipe.unet)
    yield session_pipe
    assert {name: id(p) for name, p in session_pipe.unet.attn_processors.items()} == processors
    assert _hooks(session_pipe.unet) == hooks


def _hooks(unet) -> int:
    return sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in unet.modules())


@pytest.fixture(scope="session")
def twin(session_pipe):
    """The UNet of random:tiny on meta tensors."""
    from focuslab.hooks.meta_cost import meta_unet

    return meta_unet(session_pipe.unet)


@pytest.fixture(scope="session")
def inputs(session_pipe):
    """inputs(seconds) -> what the UNet of random:tiny is called with."""
    from focuslab.models.conditioning import encode_prompt, unet_inputs

    conditioning = encode_prompt(session_pipe, "rain")
    return lambda seconds: unet_inputs(session_pipe, conditioning, seconds)


@pytest.fixture
def sound(pipe):
    """sound(**changes) -> float32 samples of a short generation that is always the same."""
    import torch

    def make(seconds=1.28, steps=2, seed=0):
        generator = torch.Generator().manual_seed(seed)
        return pipe("rain", audio_length_in_s=seconds, num_inference_steps=steps, generator=generator).audios[0]

    return make


@pytest.fixture
def focuslab(capsys, monkeypatch, tmp_path, session_pipe):
    """focuslab(*arguments) -> (exit code, stdout, stderr), in an empty directory, without loading the model anew."""
    from focuslab.cli import main
    from focuslab.models import specs

    load = specs.load
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        specs, "load", lambda model, *a, **kw: session_pipe if model == "random:tiny" else load(model, *a, **kw)
    )

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        out, err = capsys.readouterr()
        return caught.value.code, out, err

    return run
