"""Teaches a narrower decoder to decode as a finished one does.

The decoder's last blocks work on every pixel, so their width is most of what a finished picture
costs after its last step. What is to be learnt is exact, not a guess at what a latent may have
meant, so nothing blurs and no critic is needed. Knows a finished model and the latents it drew;
`--export` puts what was learnt into its folder.

    python -m scripts.draft.narrow_decoder --model assets/models/draft \
        --trajectories .draft/trajectories --out .draft/narrow.pt --minutes 30
    python -m scripts.draft.narrow_decoder --model assets/models/draft --out .draft/narrow.pt \
        --export
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from scripts.draft import autoencoder, loop, model, training
from scripts.draft.decoder import JITTER
from scripts.draft.export import put
from scripts.draft.loop import Course
from scripts.draft.trajectories import Trajectories
from studio.engine.autocast import autocast


def begin(args: argparse.Namespace, seed: int, is_new: bool) -> Course:
    """The narrower autoencoder, of which the decoder learns."""
    wide = AutoencoderKL.from_pretrained(args.model / "vae")
    net = autoencoder.narrowed(wide)
    for each in (wide, net):
        each.to(args.device, memory_format=torch.channels_last)
    drawn = Trajectories(args.trajectories)
    g = torch.Generator().manual_seed(seed)
    device_type = torch.device(args.device).type

    def lesson() -> Tensor:
        z, _, _ = drawn.finished(args.batch // args.processes, g)
        z = (z + JITTER * torch.randn(z.shape, generator=g)).to(args.device)
        passes = autocast(device_type, args.precision.passes)
        with model.attention_for(device_type), passes:
            with torch.no_grad():
                wanted = wide.decode(z).sample.float()
            out = net.decode(z).sample.float()
        return autoencoder.loss(out, wanted)

    return Course(net, lesson, drawn.refresh)


def export(folder: Path, checkpoint: Path) -> int:
    """Puts the narrower autoencoder into the model's folder; answers its bytes."""
    state = training.load(checkpoint)
    assert state is not None
    net = AutoencoderKL(**autoencoder.CONFIG)
    net.load_state_dict(state["average"]["weights"])
    return put(folder, "vae", net, {})


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Teach a narrower decoder what a finished one does."
    )
    parser.add_argument("--model", type=Path, required=True, help="the finished model's folder")
    parser.add_argument("--trajectories", type=Path, help="a folder of them")
    loop.add_arguments(parser, rate=5e-4)
    parser.set_defaults(batch=4, decay=0.99)  # whole pictures
    parser.add_argument("--export", action="store_true", help="put it into the model's folder")
    args = parser.parse_args(argv)
    if args.export:
        print(f"{args.model / 'vae'}: {export(args.model, args.out) / 1e6:.1f} MB")
        return 0
    if args.trajectories is None or not any(args.trajectories.glob("*.pt")):
        parser.error("--trajectories must be a folder of trajectories; draw them first")
    loop.start(begin, args)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
