"""`Stage`: one Mitsuba scene whose contents are replaced for every world.

Knows meshes, surfaces, camera and lights as Mitsuba has them; does not know sampling, denoising
or files. Every surface uses one shader layout and every scene one emitter layout, so the
vectorised variant compiles its kernel a few times and then reuses it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.draft import materials, products, scenes
from scripts.draft.shapes import Mesh, join, sheet
from scripts.draft.world import World

Array = NDArray[Any]
NUM_SHAPES = 14
_UNSEEN = sheet(0.001, 0.001).moved(z=-50.0)
_GREY = materials.plain((0.5, 0.5, 0.5))


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

    The compiled kernels of the vectorised variants depend on the scene's structure, so the
    structure never changes: NUM_SHAPES meshes with one shader layout, one sky, one key light, one
    camera. Two things make a stage of another structure: a product of glass (`is_clear`), whose
    shader lets light through, and a lampshade that shines (`is_lit`).
    """

    def __init__(self, height: int, width: int, *, is_clear: bool, is_lit: bool) -> None:
        import mitsuba as mi

        self.is_clear, self.is_lit = is_clear, is_lit
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
                "sampler": {"type": "independent", "sample_count": 1},
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
            tree[f"s{i:02d}"] = _shape(_clear_shader() if is_clear and i == 0 else _shader())
        if is_lit:
            tree["lit"] = _shape(_shader(), shines=True)
        self.first = tree["s00"]
        self.scene = mi.load_dict(tree)
        self.params = mi.traverse(self.scene)
        self.path = mi.load_dict(
            {"type": "path", "max_depth": 16 if is_clear else 6, "rr_depth": 4}
        )
        self.guides = mi.load_dict({"type": "aov", "aovs": "albedo:albedo,normal:sh_normal"})

    def _make_opaque(self) -> None:
        import drjit as dr
        import mitsuba as mi

        if mi.variant() != "scalar_rgb":
            for key, _ in self.params.items():
                dr.make_opaque(self.params[key])

    def dress(self, world: World) -> float:
        """Puts a world on the stage; answers its exposure."""
        parts = products.build(world.subject, world.shape, world.material)
        place = scenes.build(world.scene, world.subject, world.props_seed)
        if place.lit is not None:
            self._set_mesh("lit", place.lit, 1.0)
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
        self._set_mesh(name, mesh, surface.tile)
        p, shader = self.params, f"{name}.bsdf.brdf_0.nested_bsdf"
        if surface.clear:
            shader = f"{name}.bsdf"
            p[f"{shader}.base_color.data"] = np.ascontiguousarray(surface.base, np.float32)
            p[f"{shader}.roughness.value"] = _opaque(surface.roughness)
            p[f"{shader}.spec_trans.value"] = _opaque(surface.clear)
            return
        p[f"{shader}.base_color.data"] = np.ascontiguousarray(
            surface.base.clip(0, 0.97), np.float32
        )
        p[f"{name}.bsdf.brdf_0.nested_texture.data"] = np.ascontiguousarray(
            surface.bump[..., None] * surface.bump_scale, np.float32
        )
        p[f"{shader}.specular"] = _opaque(surface.specular)
        for number in ("roughness", "metallic", "clearcoat", "sheen"):
            p[f"{shader}.{number}.value"] = _opaque(getattr(surface, number))

    def _set_mesh(self, name: str, mesh: Mesh, tile: float) -> None:
        p = self.params
        p[f"{name}.vertex_positions"] = mesh.vertices.astype(np.float32).ravel()
        p[f"{name}.vertex_normals"] = mesh.normals().astype(np.float32).ravel()
        p[f"{name}.vertex_texcoords"] = (mesh.uvs / tile).astype(np.float32).ravel()
        p[f"{name}.faces"] = mesh.faces.astype(np.uint32).ravel()

    def mask(self) -> Array:
        """Where the middle of a pixel sees the first shape: bool [H,W]."""
        import drjit as dr
        import mitsuba as mi

        sensor = self.scene.sensors()[0]
        width, height = sensor.film().size()
        i = dr.arange(mi.UInt32, int(width * height))
        at = mi.Point2f(i % int(width) + 0.5, i // int(width) + 0.5) / mi.Vector2f(width, height)
        ray, _ = sensor.sample_ray(0.0, 0.5, at, mi.Point2f(0.5))
        seen = self.scene.ray_intersect_preliminary(ray)
        first = seen.shape == mi.ShapePtr(self.first)
        return np.array(first).reshape(int(height), int(width))

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
        turn = abs(light.azimuth) * place.lamp if place.lamp else light.azimuth
        a = np.deg2rad(world.camera.azimuth + turn)
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
        if place.lamp:
            warm = np.array([1.0, 0.74, 0.46])
        power = 9.5 * place.key * light.strength / light.size**2
        if self.is_lit:
            p["lit.emitter.radiance.value"] = mi.Color3f(*map(_opaque, (1.5 * warm).tolist()))
        p["key.emitter.radiance.value"] = mi.Color3f(*map(_opaque, (power * warm).tolist()))


def _opaque(value: float) -> Any:
    """A number the kernels read from memory: a literal would be compiled into them."""
    import drjit as dr
    import mitsuba as mi

    return dr.opaque(mi.Float, value) if mi.variant() != "scalar_rgb" else value


def stage_for(world: World) -> Stage:
    """The stage for a world, made once per structure and process."""
    is_lit = world.scene == "night"
    return _stage(world.height, world.width, world.material == "glass", is_lit)


@cache
def _stage(height: int, width: int, is_clear: bool, is_lit: bool) -> Stage:
    return Stage(height, width, is_clear=is_clear, is_lit=is_lit)


def _texture(channels: int) -> dict[str, Any]:
    import mitsuba as mi

    values = np.full((materials.SIZE, materials.SIZE, channels), 0.5, np.float32)
    return {"type": "bitmap", "raw": True, "bitmap": mi.Bitmap(values)}


def _shader() -> dict[str, Any]:
    return {
        "type": "twosided",
        "bumped": {
            "type": "bumpmap",
            "arbitrary": _texture(1),
            "scale": 1.0,
            "shader": {
                "type": "principled",
                "base_color": _texture(3),
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


def _clear_shader() -> dict[str, Any]:
    return {
        "type": "principledthin",
        "base_color": _texture(3),
        "roughness": 0.1,
        "spec_trans": 0.5,
        "eta": 1.5,
    }


def _shape(shader: dict[str, Any], *, shines: bool = False) -> Any:
    """A placeholder mesh with that shader."""
    import mitsuba as mi

    props = mi.Properties()
    props["shader"] = mi.load_dict(shader)
    if shines:
        light = {"type": "area", "radiance": {"type": "rgb", "value": [1.0, 1.0, 1.0]}}
        props["emitter"] = mi.load_dict(light)
    shape = mi.Mesh("mesh", 4, 2, has_vertex_normals=True, has_vertex_texcoords=True, props=props)
    p = mi.traverse(shape)
    p["vertex_positions"] = _UNSEEN.vertices.astype(np.float32).ravel()
    p["vertex_normals"] = _UNSEEN.normals().astype(np.float32).ravel()
    p["vertex_texcoords"] = _UNSEEN.uvs.astype(np.float32).ravel()
    p["faces"] = _UNSEEN.faces.astype(np.uint32).ravel()
    p.update()
    return shape


def _opaque(value: float) -> Any:
    """A number the kernels read from memory: a literal would be compiled into them."""
    import drjit as dr
    import mitsuba as mi

    return dr.opaque(mi.Float, value) if mi.variant() != "scalar_rgb" else value
