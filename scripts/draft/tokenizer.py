"""Trains the byte-pair tokenizer of the draft model, in CLIP's file format, or grows it.

Knows captions and CLIP's conventions (lower case, `</w>` at a word's end, start and end
tokens); does not know the model. A grown tokenizer writes all it knew as before, so that a
trained text encoder still fits it, and new words of the vocabulary as one token each.

    python -m scripts.draft.tokenizer --from assets/models/draft --out .draft/tok
"""

from __future__ import annotations

import argparse
import json
import random
import re
from itertools import pairwise
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
    _write(out, vocab, merges)


def _write(out: Path, vocab: dict[str, int], merges: list[str]) -> None:
    from transformers import CLIPTokenizer

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


def grow(folder: Path, out: Path) -> None:
    """The tokenizer of the model in `folder` with merges added for words it writes in pieces."""
    model = json.loads((folder / "tokenizer" / "tokenizer.json").read_text())["model"]
    merges = [" ".join(m) if isinstance(m, list) else m for m in model["merges"]]
    ranks = {tuple(merge.split(" ")): i for i, merge in enumerate(merges)}
    vocab: dict[str, int] = dict(model["vocab"])
    said = (
        text
        for field in FIELDS
        for entry in words(field)
        for text in (entry.phrase, entry.en, *entry.english_synonyms)
    )
    for word in sorted({word for text in said for word in re.findall("[a-z]+", text.lower())}):
        pieces = _pieces(word, ranks)
        while len(pieces) > 1:  # ranked after all there were, so those words stay as they are
            pair = pieces[0], pieces[1]
            ranks[pair] = len(ranks)
            vocab.setdefault("".join(pair), len(vocab))
            pieces = ["".join(pair), *pieces[2:]]
    _write(out, vocab, [" ".join(pair) for pair in ranks])


def _pieces(word: str, ranks: dict[tuple[str, ...], int]) -> list[str]:
    """How byte pairs of those ranks write a word of plain letters."""
    pieces = [*word[:-1], word[-1] + "</w>"]
    while len(pieces) > 1:
        pairs = list(pairwise(pieces))
        best = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        i = pairs.index(best)
        pieces[i : i + 2] = ["".join(best)]
    return pieces


def _clip_pattern() -> object:
    from tokenizers import Regex

    return Regex(
        r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--from", dest="shipped", type=Path, help="grow that model's tokenizer")
    args = parser.parse_args(argv)
    if args.shipped:
        grow(args.shipped, args.out)
    else:
        train(args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
