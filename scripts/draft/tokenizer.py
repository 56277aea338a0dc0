"""Trains the byte-pair tokenizer of the draft model, in CLIP's file format.

Knows captions and CLIP's conventions (lower case, `</w>` at a word's end, start and end
tokens); does not know the model.

    python -m scripts.draft.tokenizer --out assets/models/draft
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from scripts.draft.captions import GENERAL, caption
from scripts.draft.vocabulary import FIELDS, words

VOCAB_SIZE = 2048
MAX_LENGTH = 77
START, END = "<|startoftext|>", "<|endoftext|>"


def corpus(count: int = 30_000, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    ids = {field: [entry.id for entry in words(field)] for field in FIELDS}
    lines = [
        caption(*(rng.choice(ids[field]) for field in FIELDS), rng).lower() for _ in range(count)
    ]
    return lines + [" ".join(rng.sample(GENERAL, 8)) for _ in range(count // 10)]


def train(out: Path) -> None:
    """Writes `out/tokenizer` and `out/tokenizer_2` (the same, padded as SDXL pads its second)."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    bpe = Tokenizer(models.BPE(unk_token=END, end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_clip_pattern(), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - 256 - 2,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
        min_frequency=2,
    )
    bpe.train_from_iterator(corpus(), trainer)
    model = json.loads(bpe.to_str())["model"]
    merges = [" ".join(m) if isinstance(m, list) else m for m in model["merges"]]
    # CLIP's order: bytes, bytes that end a word, merges, start, end.
    tokens = [*alphabet, *(a + "</w>" for a in alphabet)]
    seen = set(tokens)
    tokens += [t for t in ("".join(m.split(" ")) for m in merges) if not (t in seen or seen.add(t))]
    vocab = {token: i for i, token in enumerate([*tokens, START, END])}
    for name, pad in (("tokenizer", END), ("tokenizer_2", "!")):
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), "utf-8")
        (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", "utf-8")
        made = CLIPTokenizer(
            vocab=str(folder / "vocab.json"),
            merges=str(folder / "merges.txt"),
            pad_token=pad,
            model_max_length=MAX_LENGTH,
            bos_token=START,
            eos_token=END,
            unk_token=END,
        )
        made.save_pretrained(folder)


def _clip_pattern() -> object:
    from tokenizers import Regex

    return Regex(
        r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    train(args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
