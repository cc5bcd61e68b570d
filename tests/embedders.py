"""Small random embedders on disk, as save_pretrained writes them."""

import torch
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

from tests.loading import refusal


def save_clap(directory, pipe):
    """The CLAP of a pipeline as a checkpoint by itself."""
    for part in (pipe.text_encoder, pipe.feature_extractor, pipe.tokenizer):
        part.save_pretrained(directory)
    return directory


def save_ast(directory, mel_bins=32, seed=0):
    """An AST of 64 frames and 7 classes."""
    config = ASTConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_length=64,
        num_mel_bins=mel_bins,
        id2label={index: f"class {index}" for index in range(7)},
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        ASTForAudioClassification(config).save_pretrained(directory)
    ASTFeatureExtractor(max_length=64, num_mel_bins=mel_bins).save_pretrained(directory)
    return directory


def each_file_is_needed(load, directory, files):
    """Loading names a file that is missing, and says of half a file that it is damaged."""
    for file in files:
        whole = (directory / file).read_bytes()
        (directory / file).unlink()
        assert file in refusal(load, directory, "cpu")
        (directory / file).write_bytes(whole[: len(whole) // 2])
        assert "damaged" in refusal(load, directory, "cpu")
        (directory / file).write_bytes(whole)
