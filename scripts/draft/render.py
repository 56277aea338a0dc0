"""Renders the draft model's pictures with Mitsuba 3, resumable and seeded.

Knows how a world becomes a Mitsuba scene and a finished PNG; does not know training.
Every surface uses one shader layout and every scene one emitter layout, so the
vectorised variant compiles its kernel a few times and then reuses it.

    python -m scripts.draft.render --out .draft/renders --count 6000
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from scripts.draft import materials, products, scenes
from scripts.draft.shapes import Mesh, join, sheet
from scripts.draft.world import World, describe

Array = NDArray[Any]
NUM_SHAPES = 14
_UNSEEN = sheet(0.001, 0.001).moved(z=-50.0)
_GREY = materials.plain((0.5, 0.5, 0.5))


def render(world: World, spp: int, denoise: bool = True) -> Array:
    """The picture of a world as uint8 RGB [H,W,3]."""
    import mitsuba as mi

    stage = _stage(world.height, world.width, spp)
    exposure = stage.dress(world)
    colour = _mend(
        np.array(mi.render(stage.scene, integrator=stage.path, seed=world.seed, spp=spp))
    )
    if denoise:
        guides = np.array(mi.render(stage.scene, integrator=stage.guides, seed=world.seed, spp=16))
        colour = _denoise(colour, *np.split(guides.astype(np.float32), 2, axis=-1))
    return tonemap(colour * exposure)


def _mend(colour: Array) -> Array:
    """The picture [H,W,3], pixels that came out as no number filled from their neighbours."""
    good = np.isfinite(colour).all(-1)
    total = np.where(good[..., None], colour, 0).clip(0, 30)
    weight = good.astype(np.float32)
    while not weight.all():
        near_total, near_weight = (
            sum(np.roll(x, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
            for x in (total, weight)
        )
        hole = weight == 0
        total[hole], weight[hole] = near_total[hole], near_weight[hole]
    return (total / weight[..., None]).astype(np.float32)


def tonemap(linear: Array) -> Array:
    """Linear radiance to 8-bit sRGB with a soft shoulder above 0.7."""
    x = np.maximum(linear, 0)
    x = np.where(x > 0.7, 0.7 + 0.3 * (1 - np.exp(-(x - 0.7) / 0.3)), x)
    x = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    return (x * 255 + 0.5).clip(0, 255).astype(np.uint8)


def camera_pose(world: World, points: Array) -> tuple[Array, Array]:
    """(origin, target) such that the product's box fills its share of the frame."""
    cam = world.camera
    a, e = np.deg2rad(cam.azimuth), np.deg2rad(cam.elevation)
    back = np.array([np.sin(a) * np.cos(e), -np.cos(a) * np.cos(e), np.sin(e)])
    right = np.array([np.cos(a), np.sin(a), 0.0])
    up = np.cross(back, right)  # right-handed: right x up = back
    short = np.tan(np.deg2rad(cam.fov) / 2)
    half_w = short * world.width / min(world.width, world.height)
    half_h = short * world.height / min(world.width, world.height)
    target, distance = (points.min(0) + points.max(0)) / 2, 5.0
    for _ in range(6):
        q = points - target
        depth = distance - q @ back
        x, y = q @ right / depth / half_w, q @ up / depth / half_h
        # A wide product may take more of the width than a tall one of the height.
        extent = max((x.max() - x.min()) * 0.86, y.max() - y.min()) / 2
        target = target + distance * (
            right * half_w * ((x.max() + x.min()) / 2 - cam.shift[0])
            + up * half_h * ((y.max() + y.min()) / 2 - cam.shift[1] - 0.03)
        )
        distance *= extent / cam.fill
    return target + back * distance, target


class Stage:
    """One Mitsuba scene per picture size, whose contents are replaced for every world.

    The compiled kernels of the vectorised variants depend on the scene's structure, so
    the structure never changes: NUM_SHAPES meshes with one shader layout, one sky, one
    key light, one camera.
    """

    def __init__(self, height: int, width: int, spp: int) -> None:
        import mitsuba as mi

        transform = mi.ScalarTransform4f
        tree: dict[str, Any] = {
            "type": "scene",
            "camera": {
                "type": "perspective",
                "fov": 30,
                "fov_axis": "x",
                "to_world": transform().look_at([0, -5, 2], [0, 0, 0], [0, 0, 1]),
                "film": {
                    "type": "hdrfilm",
                    "width": width,
                    "height": height,
                    "rfilter": {"type": "box"},
                },
                "sampler": {"type": "independent", "sample_count": spp},
            },
            "sky": {
                "type": "envmap",
                "bitmap": mi.Bitmap(np.ones((32, 64, 3), np.float32)),
                "to_world": transform().rotate([1, 0, 0], 90),
            },
            "key": {
                "type": "rectangle",
                "to_world": transform().translate([0, 0, 5]),
                "emitter": {"type": "area", "radiance": {"type": "rgb", "value": [1.0, 1.0, 1.0]}},
            },
        }
        for i in range(NUM_SHAPES):
            tree[f"s{i:02d}"] = _shape()
        self.scene = mi.load_dict(tree)
        self.params = mi.traverse(self.scene)
        self.path = mi.load_dict({"type": "path", "max_depth": 6, "rr_depth": 5})
        self.guides = mi.load_dict({"type": "aov", "aovs": "albedo:albedo,normal:sh_normal"})

    def _make_opaque(self) -> None:
        import drjit as dr
        import mitsuba as mi

        if "llvm" in mi.variant():
            for key, _ in self.params.items():
                dr.make_opaque(self.params[key])

    def dress(self, world: World) -> float:
        """Puts a world on the stage; answers its exposure."""
        parts = products.build(world.subject, world.shape, world.material)
        place = scenes.build(world.scene, world.subject, world.props_seed)
        roles: dict[str, list[Mesh]] = {}
        for part in parts:
            roles.setdefault(part.role, []).append(part.mesh)
        things = [
            (
                join(meshes),
                materials.product(world.material, world.rgb, world.seed)
                if role == "main"
                else materials.quiet(role, world.material, world.props_seed),
            )
            for role, meshes in roles.items()
        ]
        things += [(thing.mesh, thing.surface) for thing in place.things]
        things += [(_UNSEEN, _GREY)] * (NUM_SHAPES - len(things))
        if len(things) > NUM_SHAPES:
            raise ValueError(f"the world of seed {world.seed} needs {len(things)} shapes")
        for i, (mesh, surface) in enumerate(things):
            self._set_shape(f"s{i:02d}", mesh, surface)
        self._set_camera_and_light(world, place, np.concatenate([p.mesh.vertices for p in parts]))
        self.params.update()
        self._make_opaque()
        return place.exposure

    def _set_shape(self, name: str, mesh: Mesh, surface: materials.Surface) -> None:
        p, shader = self.params, f"{name}.bsdf.brdf_0.nested_bsdf"
        p[f"{name}.vertex_positions"] = mesh.vertices.astype(np.float32).ravel()
        p[f"{name}.vertex_normals"] = mesh.normals().astype(np.float32).ravel()
        p[f"{name}.vertex_texcoords"] = (mesh.uvs / surface.tile).astype(np.float32).ravel()
        p[f"{name}.faces"] = mesh.faces.astype(np.uint32).ravel()
        p[f"{shader}.base_color.data"] = np.ascontiguousarray(
            surface.base.clip(0, 0.97), np.float32
        )
        p[f"{name}.bsdf.brdf_0.nested_texture.data"] = np.ascontiguousarray(
            surface.bump[..., None] * surface.bump_scale, np.float32
        )
        p[f"{shader}.specular"] = _opaque(surface.specular)
        for number in ("roughness", "metallic", "clearcoat", "sheen"):
            p[f"{shader}.{number}.value"] = _opaque(getattr(surface, number))

    def _set_camera_and_light(self, world: World, place: scenes.Place, points: Array) -> None:
        import mitsuba as mi

        p, light, transform = self.params, world.light, mi.ScalarTransform4f
        origin, target = camera_pose(world, points)
        p["camera.to_world"] = transform().look_at(list(origin), list(target), [0, 0, 1])
        half = (
            np.tan(np.deg2rad(world.camera.fov) / 2) * world.width / min(world.width, world.height)
        )
        p["camera.x_fov"] = _opaque(float(np.rad2deg(2 * np.arctan(half))))
        # The sky map keeps a column of the other side at either end, to wrap.
        sky = np.concatenate([place.sky[:, -1:], place.sky, place.sky[:, :1]], 1)
        p["sky.data"] = sky.astype(np.float32)
        middle = np.array([0.0, 0.0, float(points[:, 2].max()) / 2])
        a = np.deg2rad(world.camera.azimuth + light.azimuth)
        e = np.deg2rad(light.elevation)
        away = 4.2 * np.array([np.sin(a) * np.cos(e), -np.cos(a) * np.cos(e), np.sin(e)])
        p["key.to_world"] = (
            transform()
            .look_at(list(middle + away), list(middle), [0, 0, 1])
            .scale(1.1 * light.size)
        )
        warm = np.array([1.0, 0.96, 0.90]) * light.warmth + np.array([0.96, 0.98, 1.0]) * (
            1 - light.warmth
        )
        power = 9.5 * place.key * light.strength / light.size**2
        p["key.emitter.radiance.value"] = mi.Color3f(*map(_opaque, (power * warm).tolist()))


def _opaque(value: float) -> Any:
    """A number the kernels read from memory: a literal would be compiled into them."""
    import drjit as dr
    import mitsuba as mi

    return dr.opaque(mi.Float, value) if "llvm" in mi.variant() else value


@cache
def _stage(height: int, width: int, spp: int) -> Stage:
    return Stage(height, width, spp)


def _shape() -> Any:
    """A placeholder mesh with the one shader layout."""
    import mitsuba as mi

    def texture(channels: int) -> dict[str, Any]:
        values = np.full((materials.SIZE, materials.SIZE, channels), 0.5, np.float32)
        return {"type": "bitmap", "raw": True, "bitmap": mi.Bitmap(values)}

    shader = mi.load_dict(
        {
            "type": "twosided",
            "bumped": {
                "type": "bumpmap",
                "arbitrary": texture(1),
                "scale": 1.0,
                "shader": {
                    "type": "principled",
                    "base_color": texture(3),
                    "roughness": 0.5,
                    "metallic": 0.1,
                    "specular": 0.5,
                    "clearcoat": 0.1,
                    "clearcoat_gloss": 0.95,
                    "sheen": 0.1,
                    "sheen_tint": 0.5,
                },
            },
        }
    )
    props = mi.Properties()
    props["shader"] = shader
    shape = mi.Mesh("mesh", 4, 2, has_vertex_normals=True, has_vertex_texcoords=True, props=props)
    p = mi.traverse(shape)
    p["vertex_positions"] = _UNSEEN.vertices.astype(np.float32).ravel()
    p["vertex_normals"] = _UNSEEN.normals().astype(np.float32).ravel()
    p["vertex_texcoords"] = _UNSEEN.uvs.astype(np.float32).ravel()
    p["faces"] = _UNSEEN.faces.astype(np.uint32).ravel()
    p.update()
    return shape


def _denoise(colour: Array, albedo: Array, normal: Array) -> Array:
    """Intel Open Image Denoise, guided by albedo and normals."""
    import pyoidn

    return np.asarray(
        pyoidn.denoise(
            colour, albedo=albedo, normal=normal, hdr=True, clean_aux=True, quality="balanced"
        )
    )


def finished(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def write_whole(path: Path, picture: Array) -> None:
    """The file appears complete or not at all."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    Image.fromarray(picture).save(temporary, "PNG")
    temporary.replace(path)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Render the draft model's pictures.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--start", type=int, default=0, help="first seed")
    parser.add_argument("--spp", type=int, default=8)
    parser.add_argument("--workers", type=int, default=1, help="processes, each on its own seeds")
    parser.add_argument("--variant", default="llvm_ad_rgb", help="or scalar_rgb (15 times slower)")
    parser.add_argument("--threads", type=int, default=0, help="threads a process; 0 is all")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.workers > 1:
        each = -(-args.count // args.workers)
        base = [
            sys.executable,
            "-m",
            "scripts.draft.render",
            "--out",
            str(args.out),
            "--spp",
            str(args.spp),
            "--variant",
            args.variant,
            "--threads",
            "1",
        ]
        jobs = [
            subprocess.Popen([*base, "--start", str(args.start + i * each), "--count", str(each)])
            for i in range(args.workers)
        ]
        return max(job.wait() for job in jobs)

    import mitsuba as mi

    mi.set_variant(args.variant)
    if args.threads:
        import drjit as dr

        dr.set_thread_count(args.threads)
    for seed in tqdm(range(args.start, args.start + args.count), desc="render", mininterval=5):
        path = args.out / f"{seed:06d}.png"
        if finished(path):
            continue
        world = describe(seed)
        path.with_suffix(".json").write_text(json.dumps(world.as_json()))
        write_whole(path, render(world, args.spp))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
