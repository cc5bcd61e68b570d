"""Directories of models with what none may have in it: nothing runs, nothing waits, one line says so."""

import json
import os
import shutil

import pytest

from focuslab.errors import InputError
from focuslab.models.checks import check_configuration
from focuslab.models.specs import load
from tests.loading import edit, refused


@pytest.fixture
def directory(saved, tmp_path, monkeypatch):
    """A copy of a model with code in it that leaves a trace where it runs."""
    copy = shutil.copytree(saved, tmp_path / "model")
    ran = tmp_path / "ran"
    for folder in (copy, *(path for path in copy.iterdir() if path.is_dir())):
        for name in ("code.py", "modeling.py", "pipeline.py", "custom_generate/generate.py"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(f"open({str(ran)!r}, 'w')\nclass Code: pass\n")

    def ask(*_):
        raise AssertionError("somebody was asked")

    monkeypatch.setattr("builtins.input", ask)
    yield copy
    assert not ran.exists()


AUTO = {"auto_map": {"AutoModel": "code.Code", "AutoConfig": "code.Code", "AutoTokenizer": ["code.Code", None]}}


@pytest.mark.parametrize("named", ["AutoModel", "AutoTokenizer", "DiffusionPipeline", "UNet2DModel", "__doc__", "os"])
@pytest.mark.parametrize("component", ["unet", "scheduler", "text_encoder"])
def test_a_component_of_another_class_is_refused(directory, component, named):
    edit(directory / "model_index.json", **{component: ["transformers", named]})
    edit(next((directory / component).glob("*config.json")), **AUTO)
    assert named in refused(directory, "cpu")


@pytest.mark.parametrize("named", ["Mine", ["pipeline", "Mine"], {"a": 1}, None, "FluxPipeline"])
def test_a_custom_pipeline_is_refused(directory, named):
    edit(directory / "model_index.json", _class_name=named)
    assert "AudioLDM2" in refused(directory, "cpu")


ASKS = {
    "text_encoder/config.json": AUTO,
    "language_model/config.json": {"_attn_implementation": "someone/kernel"},
    "text_encoder_2/config.json": {"quantization_config": {"quant_method": "fp8"}},
    "unet/config.json": {"quantization_config": {"quant_method": "torchao"}},
    "tokenizer/tokenizer_config.json": AUTO,
    "tokenizer_2/tokenizer_config.json": {"fast_tokenizer_files": ["../../x.json"]},
    "feature_extractor/preprocessor_config.json": AUTO,
    "scheduler/scheduler_config.json": {**AUTO, "num_train_timesteps": 10},
    "vae/config.json": {"layers_per_block": 10**9},
    "vocoder/config.json": {"upsample_initial_channel": 10**8},
}


@pytest.mark.parametrize("file", ASKS)
def test_a_configuration_that_asks_for_code_or_too_much_is_refused(directory, file):
    edit(directory / file, **ASKS[file])
    assert file.partition("/")[0] in refused(directory, "cpu")


def test_code_that_nothing_asks_for_is_left_alone(directory):
    assert load(directory, "cpu").unet is not None


def test_an_adapter_that_names_another_model_is_refused(directory):
    (directory / "unet" / "adapter_config.json").write_text('{"base_model_name_or_path": "/etc"}')
    assert "adapter" in refused(directory, "cpu")


@pytest.mark.parametrize(
    "file", ["tokenizer/merges.txt", "tokenizer_2/special_tokens_map.json", "unet/config.json", "scheduler/x.json"]
)
@pytest.mark.parametrize("kind", ["pipe", "device", "sparse"])
def test_what_is_no_file_of_sane_size_is_never_waited_for(directory, file, kind):
    path = directory / file
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.touch()
        os.truncate(path, 2**40)
    assert path.parent.name in refused(directory, "cpu")


@pytest.mark.parametrize(
    "weights", [{"a": "model.safetensors.index.json"}, {"a": "../../x.safetensors"}, {"a": ["x"]}, {}, [], None, "x"]
)
def test_an_index_names_files_of_weights_beside_it(directory, weights):
    folder = directory / "text_encoder"
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}))
    assert "index.json" in refused(directory, "cpu")


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "\0", ""])
def test_a_configuration_that_is_no_object_is_refused(directory, content):
    (directory / "vae" / "config.json").write_text(content)
    assert "damaged" in refused(directory, "cpu")


@pytest.mark.parametrize("longest, fine", [(512, True), (10**30, True), (10**9, False)])
def test_a_tokenizer_may_not_pad_to_any_length(tmp_path, longest, fine):
    file = tmp_path / "tokenizer_config.json"
    if fine:
        check_configuration(file, {"model_max_length": longest})
    else:
        with pytest.raises(InputError, match="model_max_length"):
            check_configuration(file, {"model_max_length": longest})
    assert check_configuration(file, {}) is None
