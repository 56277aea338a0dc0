"""`clip_merges`: the byte pairs of CLIP's tokenizer, which single-file checkpoints leave out.

They are CLIP's own and the same for every SDXL and Stable Diffusion 1.5 model. They are taken from
open_clip where it is installed, or else from the hub; wherever they come from, they are checked.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from pathlib import Path

from studio import hub
from studio.errors import BadModel, StudioError, Unavailable

NUM_MERGES = 49152 - 256 - 2
"""Of the published list CLIP uses so many: 49,152 tokens less the bytes, alone and ending a word,
and the two marks."""

SHA256 = "f61f2adf497e6f5357c347aeb4646fabe82f341e946de5bdec5d2858e41bef4a"
REPO = "openai/clip-vit-large-patch14"
FILE = "merges.txt"


def clip_merges(folder: Path, *, package: str = "open_clip") -> tuple[str, ...]:
    """CLIP's merges in order; `folder` keeps what is fetched from the hub.

    Raises:
        Unavailable: neither the package nor the hub can be had.
        BadModel: what was found is not CLIP's list.
    """
    if (text := _from_package(package)) is None:
        try:
            text = _from_hub(folder)
        except StudioError as error:
            raise Unavailable(
                "A single-file checkpoint leaves out CLIP's vocabulary, which cannot be fetched: "
                "install it with `pip install open_clip_torch`, add the model as a folder in "
                f"diffusers' layout, or mend this: {error}"
            ) from error
    merges = tuple(text.splitlines()[1 : 1 + NUM_MERGES])
    if hashlib.sha256("\n".join(merges).encode()).hexdigest() != SHA256:
        raise BadModel("The vocabulary that was found is not CLIP's: install open_clip_torch anew.")
    return merges


def _from_package(package: str) -> str | None:
    # Only its place is asked for: importing it would load torch.
    spec = importlib.util.find_spec(package)
    for location in (spec.submodule_search_locations or []) if spec else []:
        path = Path(location) / "bpe_simple_vocab_16e6.txt.gz"
        if path.is_file():
            with gzip.open(path, "rt", encoding="utf-8") as file:
                return file.read()
    return None


def _from_hub(folder: Path) -> str:
    listing = hub.list_model(REPO)
    files = [file for file in listing.files if file.path == FILE]
    hub.download(listing, files, folder)
    return (folder / FILE).read_text(encoding="utf-8") if files else ""
