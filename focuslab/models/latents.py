"""Whether what a pipeline denoises has a mel-frequency axis."""

from focuslab.errors import InputError


def check_mel_latents(pipe) -> None:
    """Raise `InputError` saying what the pipeline is instead, unless it is AudioLDM2's: latents of time x mel rows."""
    from diffusers import AudioLDM2UNet2DConditionModel

    unet = getattr(pipe, "unet", None)
    # What `torch.compile` returns is a wrapper of another class.
    if isinstance(getattr(unet, "_orig_mod", unet), AudioLDM2UNet2DConditionModel):
        return
    network = next((part for name in ("unet", "transformer") if (part := getattr(pipe, name, None)) is not None), None)
    what = type(pipe).__name__
    if network is not None:
        what += f", which denoises with {type(network).__name__}"
    heard = hasattr(getattr(getattr(pipe, "vocoder", None), "config", None), "model_in_dim")
    why = "it is driven otherwise" if heard else "its latents are no mel spectrogram, so there is no frequency axis"
    raise InputError(f"this is a {what}: {why}; expected an AudioLDM2 pipeline")
