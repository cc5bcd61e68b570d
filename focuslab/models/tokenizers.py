"""Tokenizers made on the spot, so that a pipeline without a download still takes any prompt.

AudioLDM2 hands the prompt only to `RobertaTokenizer` and `T5Tokenizer` instances, so these are such instances over
vocabularies of single bytes and single characters.
"""

from collections.abc import Iterable

from transformers import RobertaTokenizer, T5Tokenizer

MAX_LENGTH = 77

# Only the T5 tokenizer needs them: the class rebuilds itself without byte fallback when it is loaded, so a character
# outside its vocabulary is <unk> there. The other tokenizer works on bytes and tells such prompts apart.
_CHARACTERS = (
    (0x21, 0x24F),  # Latin
    (0x370, 0x52F),  # Greek, Cyrillic
    (0x2010, 0x2044),  # dashes, quotes
    (0x3041, 0x30FF),  # kana
    (0x1F300, 0x1F64F),  # emoji
    (0x1F680, 0x1F6FF),
    (0x1F900, 0x1F9FF),
)


def byte_tokenizer(texts: Iterable[str] = ()) -> RobertaTokenizer:
    """One token a byte, `<s>` before and `</s>` behind: every text has its own ids, and decoding gives it back.

    With `texts`, their frequent byte sequences, up to whole words, are tokens too (byte-pair encoding).
    """
    from tokenizers.pre_tokenizers import ByteLevel

    merges = _merges(texts)
    tokens = [*sorted(ByteLevel.alphabet()), *(first + second for first, second in merges)]
    names = ["<s>", "<pad>", "</s>", "<unk>", *dict.fromkeys(tokens), "<mask>"]
    vocab = {name: index for index, name in enumerate(names)}
    return RobertaTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_LENGTH)


def character_tokenizer(words: Iterable[str] = ()) -> T5Tokenizer:
    """One token a character, `</s>` behind; white space is one token, a character it does not know is `<unk>`.

    Each of `words`, which are taken in the order given, is one token with the white space before it.
    """
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    vocab += [(chr(code), -3.0) for first, last in _CHARACTERS for code in range(first, last + 1)]
    vocab += [(f"▁{word}", -1.0) for word in words]
    return T5Tokenizer(vocab=vocab, extra_ids=0, model_max_length=MAX_LENGTH)


def _merges(texts: Iterable[str]) -> list[tuple[str, str]]:
    """The pairs that byte-pair encoding joins in `texts`, in order."""
    import json

    from tokenizers import ByteLevelBPETokenizer

    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(sorted(set(texts)), vocab_size=4096, min_frequency=2, show_progress=False)
    return [tuple(pair) for pair in json.loads(trainer.to_str())["model"]["merges"]]
