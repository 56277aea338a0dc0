"""The process that exports the graphs TensorRT compiles, `python -m studio.engine.tensorrt_graphs`.

Apart from the one that compiles them, so that with its end the model is out of memory: compiling
takes three times the size of a network, and of SDXL there is no room for both in 24 GB.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from studio.engine import plan_process

if TYPE_CHECKING:
    from studio.engine.networks import Networks


def _do(work: plan_process.Work) -> None:
    from studio.engine.export import export_networks
    from studio.engine.networks import load_networks
    from studio.engine.tensorrt_denoiser import UNET

    networks: Networks | None = None
    for plan in work.plans:
        if work.cache.has_graphs(plan):
            continue
        networks = networks or load_networks(
            work.sources.folder,
            precision=plan.precision,
            controlnets=work.sources.controlnets,
            report=work.report,
        )
        out = work.scratch / "graphs"
        export_networks(
            networks,
            digest=plan.digest,
            precision=plan.precision,
            size=(plan.height, plan.width),
            out=out,
            report=work.report,
            # With a ControlNet one graph of the UNet does for all rows.
            skip=[f"{Path(UNET).stem}.onnx"] if networks.controlnets else [],
        )
        out.rename(work.cache.graphs(plan))


if __name__ == "__main__":
    sys.exit(plan_process.main(sys.argv[1:], _do))
