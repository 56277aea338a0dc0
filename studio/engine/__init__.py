"""The engine: step-level continuous batching over a diffusion model.

    manager ─▶ engine ─▶ scheduler   which samples run next (no tensors)
                     └─▶ runner      owns the latents; one forward pass for all of them
                           ├─ text       prompt → embeddings, cached
                           ├─ denoiser   one pass of the network over rows
                           ├─ samplers   one noise schedule per sample
                           └─ decoder    latents → pixels

The engine knows F0's values only: it draws `Request`s and reports `Event`s.
"""
