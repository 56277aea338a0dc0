"""`Encoder`: a prompt becomes the embeddings the UNet reads, through a cache.

SDXL reads two CLIP encoders: the penultimate hidden states of both, side by side, and the pooled
projection of the second (Podell et al. 2023, section 2.1). Stable Diffusion 1.5 reads one.
"""

from __future__ import annotations

import collections
import dataclasses
import threading
from collections.abc import Sequence
from typing import Protocol

import torch
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from studio.engine.lora import Adapters, no_lora
from studio.engine.threads import take_all_threads
from studio.errors import GenerationFailed
from studio.request import Lora


@dataclasses.dataclass(frozen=True)
class PromptEmbedding:
    """`hidden_states` `[T, D]` (a token each) and `pooled` `[P]` (the whole prompt), float32.

    P is 0 where the model reads no pooled prompt.
    """

    hidden_states: torch.Tensor
    pooled: torch.Tensor


class Encoder(Protocol):
    """What turns text into embeddings; `num_tokens` counts tokens without the markers."""

    max_tokens: int

    def num_tokens(self, prompt: str) -> int: ...

    def encode(self, prompt: str, loras: tuple[Lora, ...] = ()) -> PromptEmbedding: ...


class ClipPair:
    """SDXL's two CLIP text encoders with their tokenizers."""

    def __init__(
        self,
        tokenizers: tuple[CLIPTokenizer, CLIPTokenizer],
        encoders: tuple[CLIPTextModel, CLIPTextModelWithProjection],
        adapters: Adapters | None = None,
    ) -> None:
        self._tokenizers = _Tokenizers(tokenizers)
        self._encoders = encoders
        self._adapters = adapters
        self.max_tokens = self._tokenizers.max_tokens

    def num_tokens(self, prompt: str) -> int:
        return self._tokenizers.num_tokens(prompt)

    @torch.inference_mode()
    def encode(self, prompt: str, loras: tuple[Lora, ...] = ()) -> PromptEmbedding:
        """Embed one prompt.

        Raises:
            GenerationFailed: the prompt is longer than the encoders read. Cutting it silently
                would draw something that was not asked for. Or an adapter cannot be used.
        """
        take_all_threads()
        tokens = self._tokenizers.tokens(prompt)
        _use(self._adapters, loras)
        hidden: list[torch.Tensor] = []
        for ids, encoder in zip(tokens, self._encoders, strict=True):
            output = encoder(ids.to(encoder.device), output_hidden_states=True)
            hidden.append(output.hidden_states[-2][0].float())
        return PromptEmbedding(torch.cat(hidden, dim=-1), output.text_embeds[0].float())


class ClipAlone:
    """Stable Diffusion 1.5's one CLIP text encoder: its last hidden state, normed, nothing pooled.

    (Rombach et al. 2022, section 3.3, with the encoder of the released weights.)
    """

    def __init__(
        self, tokenizer: CLIPTokenizer, encoder: CLIPTextModel, adapters: Adapters | None = None
    ) -> None:
        self._tokenizers = _Tokenizers((tokenizer,))
        self._encoder = encoder
        self._adapters = adapters
        self.max_tokens = self._tokenizers.max_tokens

    def num_tokens(self, prompt: str) -> int:
        return self._tokenizers.num_tokens(prompt)

    @torch.inference_mode()
    def encode(self, prompt: str, loras: tuple[Lora, ...] = ()) -> PromptEmbedding:
        """As `ClipPair.encode`; `pooled` is empty."""
        take_all_threads()
        (ids,) = self._tokenizers.tokens(prompt)
        _use(self._adapters, loras)
        hidden = self._encoder(ids.to(self._encoder.device)).last_hidden_state[0].float()
        return PromptEmbedding(hidden, hidden.new_zeros(0))


class _Tokenizers:
    """The tokenizers of one model, safe to share between threads."""

    def __init__(self, tokenizers: Sequence[CLIPTokenizer]) -> None:
        self._tokenizers = tokenizers
        # A tokenizer keeps its padding as state, and faces count tokens from threads of their own.
        self._lock = threading.Lock()
        self._length = min(tokenizer.model_max_length for tokenizer in tokenizers)
        self.max_tokens = self._length - 2  # start and end markers

    def num_tokens(self, prompt: str) -> int:
        with self._lock:
            return max(
                len(tokenizer(prompt, add_special_tokens=False, verbose=False).input_ids)
                for tokenizer in self._tokenizers
            )

    def tokens(self, prompt: str) -> list[torch.Tensor]:
        """Token ids `[1, T]` by tokenizer, padded to the length the encoders read.

        Raises:
            GenerationFailed: the prompt is longer than that.
        """
        num_tokens = self.num_tokens(prompt)
        if num_tokens > self.max_tokens:
            raise GenerationFailed(too_long(num_tokens, self.max_tokens))
        with self._lock:
            return [
                tokenizer(
                    prompt, padding="max_length", max_length=self._length, return_tensors="pt"
                ).input_ids
                for tokenizer in self._tokenizers
            ]


class CachedEncoder:
    """An `Encoder` that remembers its last `size` answers: presets repeat their words."""

    def __init__(self, encoder: Encoder, size: int = 256) -> None:
        self._encoder = encoder
        self._size = size
        self._cache: collections.OrderedDict[tuple[str, tuple[Lora, ...]], PromptEmbedding] = (
            collections.OrderedDict()
        )
        self.max_tokens = encoder.max_tokens

    def num_tokens(self, prompt: str) -> int:
        return self._encoder.num_tokens(prompt)

    def encode(self, prompt: str, loras: tuple[Lora, ...] = ()) -> PromptEmbedding:
        key = (prompt, loras)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        embedding = self._cache[key] = self._encoder.encode(prompt, loras)
        if len(self._cache) > self._size:
            self._cache.popitem(last=False)
        return embedding


def _use(adapters: Adapters | None, loras: tuple[Lora, ...]) -> None:
    if adapters is not None:
        adapters.use_in_text(loras)
    elif loras:
        raise GenerationFailed(no_lora(loras[0].name, {}))


def too_long(num_tokens: int, max_tokens: int) -> str:
    """The sentence for a prompt the model cannot read whole."""
    return (
        f"The prompt takes {num_tokens} tokens and the model reads {max_tokens}: "
        "use fewer or shorter words."
    )
