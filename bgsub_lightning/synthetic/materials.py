"""Materials of the surfaces of synthetic scenes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from bgsub_lightning.synthetic.geometry import FloatArray, Material, Texels

Colour = tuple[float, float, float]
"""Blue, green, red in 0…255."""


def mix(base: FloatArray, colour: Colour | FloatArray, weight: FloatArray) -> FloatArray:
    """Blend colours ``(H, W, 3)`` into others by weights ``(H, W)``."""
    return np.asarray(base + (np.asarray(colour) - base) * weight[..., None])


def dimmed(colour: Colour, factor: float) -> Colour:
    """Return a darker colour."""
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


def toned(colour: Colour, tone: FloatArray) -> FloatArray:
    """Return a colour scaled by a tone ``(H, W)`` around 1."""
    return np.asarray(np.asarray(colour) * np.clip(tone, 0.05, 2.5)[..., None])


def plain(colour: Colour, period: float = 1.5, contrast: float = 0.06, grain: float = 0.04) -> Material:
    """Return a mottled, grainy material: plaster, asphalt, concrete, carpet, snow or sand."""

    def material(t: Texels) -> FloatArray:
        return toned(colour, 1 + contrast * t.fractal(period) + grain * t.fractal(0.06, 2))

    return material


def grass(colour: Colour = (48, 118, 92), dry: Colour = (92, 150, 158)) -> Material:
    """Return a lawn with drier patches."""

    def material(t: Texels) -> FloatArray:
        patches = np.clip(0.2 + 0.22 * t.fractal(5.0, 4), 0, 0.7)
        lawn = mix(toned(colour, 1 + 0.06 * t.fractal(1.4, 3)), dry, patches)
        return toned((1, 1, 1), 1 + 0.1 * t.fractal(0.24, 3) + 0.16 * t.fractal(0.05, 2, stretch=0.6)) * lawn

    return material


def slabs(colour: Colour, size: tuple[float, float] = (0.6, 0.6), joint: float = 0.02) -> Material:
    """Return paving slabs, tiles or planks of slightly different tones with dark joints."""

    def material(t: Texels) -> FloatArray:
        tone = 1 + 0.1 * (t.cells(*size) - 0.5) + 0.05 * t.fractal(2.0) + 0.03 * t.fractal(0.1, 2)
        joints = np.maximum(t.lines("u", size[0], joint), t.lines("v", size[1], joint))
        return toned(colour, tone * (1 - 0.35 * joints))

    return material


def bricks(colour: Colour) -> Material:
    """Return a brick wall in stretcher bond."""

    def material(t: Texels) -> FloatArray:
        course = np.floor(t.v / 0.12)
        bond = Texels(t.u + 0.15 * np.mod(course, 2), t.v, t.du, t.dv, t.noise)
        tone = 1 + 0.3 * (bond.cells(0.3, 0.12) - 0.5) + 0.08 * t.fractal(2.5)
        mortar = np.maximum(bond.lines("u", 0.3, 0.02), t.lines("v", 0.12, 0.02))
        return mix(toned(colour, tone), (165, 172, 178), 0.45 * mortar)

    return material


def facade(
    wall: Material, frame: Colour, bay: float = 2.6, storey: float = 3.1, doors: bool = True, lit: bool = False
) -> Material:
    """Return a house front: a wall with rows of framed windows.

    Args:
        wall: Its material.
        frame: Colour of the window frames.
        bay: Distance between windows.
        storey: Height of a storey.
        doors: Whether the openings of the ground floor reach down to the ground.
        lit: Whether some windows are lit: their colour is then beyond 255, which :func:`effects.night` looks for.
    """

    def material(t: Texels) -> FloatArray:
        image = wall(t)
        image = mix(image, (88, 92, 96), 0.6 * t.inside("v", 0, 0.55))
        u, v = np.mod(t.u, bay), np.mod(t.v, storey)
        local = Texels(u, v, t.du, t.dv, t.noise)
        low = np.where(t.v < storey, 0.25, 0.95) if doors else np.full_like(v, 0.95)
        opening = local.inside("u", 0.62, bay - 0.62) * np.clip((v - low) / t.dv + 0.5, 0, 1)
        opening = opening * np.clip((2.5 - v) / t.dv + 0.5, 0, 1)
        pane = local.inside("u", 0.72, bay - 0.72) * np.clip((v - low - 0.1) / t.dv + 0.5, 0, 1)
        pane = pane * np.clip((2.4 - v) / t.dv + 0.5, 0, 1) * (1 - local.lines("u", bay, 0.06, bay / 2))
        curtain = t.cells(bay, storey)
        glass = toned((92, 82, 70), 0.55 + 0.9 * curtain * (v / storey) + 0.15 * t.fractal(1.0))
        glass = mix(
            glass, (600, 800, 900) if lit else (168, 186, 190), np.where(curtain > 0.72, 1.0 if lit else 0.55, 0.0)
        )
        sill = local.inside("u", 0.5, bay - 0.5) * local.inside("v", 0.82, 0.95) * (t.v > storey)
        cornice = t.lines("v", storey, 0.16)
        image = mix(image, dimmed(frame, 0.8), 0.5 * cornice)
        image = mix(mix(mix(image, frame, sill), frame, opening), glass, pane)
        under_sill = local.inside("v", 0.62, 0.82) * local.inside("u", 0.5, bay - 0.5) * (t.v > storey)
        return np.asarray(image * (1 - 0.18 * under_sill[..., None]))

    return material


def panelled(wall: Material, height: float, lower: Colour) -> Material:
    """Return an indoor wall with a skirting board and a painted lower part."""

    def material(t: Texels) -> FloatArray:
        image = mix(wall(t), lower, 0.75 * t.inside("v", -1, height))
        image = mix(image, dimmed(lower, 0.6), t.inside("v", height - 0.04, height + 0.04))
        shade = 1 - 0.16 * np.exp(-np.abs(t.v) / 0.5)
        return np.asarray(mix(image, (58, 62, 66), t.inside("v", -1, 0.12)) * shade[..., None])

    return material


def water(colour: Colour = (122, 106, 74), gleam: Colour = (205, 198, 182)) -> Material:
    """Return water with elongated ripples that reflect the sky."""

    def material(t: Texels) -> FloatArray:
        ripple = t.fractal(0.9, 4, stretch=3.0)
        far = np.clip(t.v / 60, 0, 0.5)
        base = mix(toned(colour, 1 + 0.06 * ripple), gleam, np.clip(0.1 + far + 0.05 * ripple, 0, 0.8))
        return np.asarray(base)

    return material


def strips(
    axis: Literal["u", "v"],
    bands: Sequence[tuple[float, Material]],
    marks: Sequence[tuple[float, float, Colour]] = (),
    dash: float = 9.0,
) -> Material:
    """Return a ground of parallel strips.

    Args:
        axis: The axis across the strips.
        bands: Where each strip begins, and its material, in ascending order.
        marks: Painted lines: position, width (negative: dashed), colour.
        dash: Length of a dash and its gap together.
    """

    def material(t: Texels) -> FloatArray:
        image = bands[0][1](t)
        for start, band in bands[1:]:
            image = mix(image, band(t), t.inside(axis, start, np.inf))
        wear = np.clip(0.85 + 0.2 * t.fractal(0.8), 0.3, 1)
        along, step = (t.v, t.dv) if axis == "u" else (t.u, t.du)
        dashed = np.clip((dash * 0.2 - np.abs(np.mod(along / dash, 1) - 0.5) * dash) / step + 0.5, 0, 1)
        for position, width, colour in marks:
            line = t.inside(axis, position - abs(width) / 2, position + abs(width) / 2)
            line = np.minimum(line, np.abs(width) / (t.du if axis == "u" else t.dv))
            image = mix(image, colour, line * wear * (dashed if width < 0 else 1.0))
        return image

    return material


def shaded(material: Material, strength: float, period: float = 5.0) -> Material:
    """Return a material dappled by the soft shadows of what stands outside the view."""

    def dappled(t: Texels) -> FloatArray:
        shadow = 1 / (1 + np.exp(-4 * (t.fractal(period, 4) - 0.6)))
        return np.asarray(material(t) * (1 - strength * shadow[..., None]))

    return dappled


def sky(zenith: Colour, haze: Colour, clouds: float = 0.5) -> Material:
    """Return a sky that pales towards the horizon, with drawn-out clouds."""

    def material(t: Texels) -> FloatArray:
        height = np.clip(t.v / 0.55, 0, 1)
        base = mix(np.broadcast_to(np.asarray(haze), (*t.u.shape, 3)), zenith, height)
        cover = np.clip(0.5 * t.fractal(0.22, 5, stretch=2.2) + 0.1, 0, 1) * clouds
        return mix(base, (244, 242, 240), cover)

    return material
