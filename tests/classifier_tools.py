"""Weights for opennsfw2's own network, made here: a file in the very layout of the published one.

The network keeps the filters it is born with; its last layer is fitted, in closed form, on two
kinds of synthetic pictures, so that stripes score high and flat colours low. What is real is
everything but what the weights were taught.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from studio.events import Pixels

NUM_PICTURES = 24
RIDGE = 1e-3


def striped(seed: int, side: int = 64) -> Pixels:
    """Bold stripes in two colours: what the weights are taught to doubt."""
    chance = np.random.default_rng(seed)
    dark, bright = chance.integers(0, 60, 3), chance.integers(190, 256, 3)
    width = int(chance.integers(3, 9))
    rows = (np.arange(side) // width) % 2
    picture = np.where(rows[:, None, None] == 1, bright, dark)
    return np.broadcast_to(picture, (side, side, 3)).astype(np.uint8)


def flat(seed: int, side: int = 64) -> Pixels:
    """One colour with a little noise, as the closed-form model draws: harmless."""
    chance = np.random.default_rng(1000 + seed)
    color = chance.integers(40, 216, 3)
    noise = chance.integers(-12, 13, (side // 8, side // 8, 3)).repeat(8, 0).repeat(8, 1)
    return np.clip(color + noise, 0, 255).astype(np.uint8)


def make_weights(path: Path) -> Path:
    """Fit the network and write its weights to `path`."""
    from studio.engine.classifier import preprocess  # settles which backend keras takes

    import h5py  # isort: skip
    import keras  # isort: skip
    import opennsfw2  # isort: skip
    import torch  # isort: skip
    from keras.src.legacy.saving import legacy_h5_format  # isort: skip

    keras.utils.set_random_seed(1)
    network = opennsfw2.make_open_nsfw_model(weights_path=None)
    features = keras.Model(network.input, network.get_layer("global_average_pooling2d").output)
    pictures = [kind(seed) for kind in (flat, striped) for seed in range(NUM_PICTURES)]
    with torch.inference_mode():
        parts = [
            features(torch.from_numpy(preprocess(pictures[start : start + 8]))).numpy()
            for start in range(0, len(pictures), 8)
        ]
    values = np.concatenate(parts).astype(np.float64)
    wanted = np.repeat([-4.0, 4.0], NUM_PICTURES)
    mean, scale = values.mean(0), values.std(0) + 1e-9
    standard = (values - mean) / scale
    inner = standard @ standard.T + RIDGE * len(pictures) * np.eye(len(pictures))
    weights = standard.T @ np.linalg.solve(inner, wanted) / scale
    kernel = np.stack([-weights / 2, weights / 2], axis=1)
    bias = mean @ kernel
    network.get_layer("fc_nsfw").set_weights([kernel, -bias])
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    return path
