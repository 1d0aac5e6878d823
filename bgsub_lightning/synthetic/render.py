"""Renders the videos of synthetic twins; CDnet2014's, category by category."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import PARTIAL, make_folder
from bgsub_lightning.core.parallel import in_processes
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.datasets.labels import MOVING, OUTSIDE_ROI, SHADOW, UNKNOWN
from bgsub_lightning.datasets.origin import mark
from bgsub_lightning.synthetic import effects
from bgsub_lightning.synthetic.actors import Actor, company
from bgsub_lightning.synthetic.drawing import Light, Patch, Place, cast, draw, mirror
from bgsub_lightning.synthetic.effects import CameraFactory, Effect, EffectFactory, EffectSetup, Shot
from bgsub_lightning.synthetic.geometry import ByteArray, FloatArray, Format
from bgsub_lightning.synthetic.themes import THEMES, Scenery, Set

_DAY = Light()
SUN = Light((0.62, 0.6, 0.5), (-1.0, -0.45), shadow=0.52, softness=0.03, hard=True)


Casting = Callable[[Scenery, np.random.Generator, int, int], list[Actor]]
"""Chooses who appears in a scene, by its own random numbers, in the frames before the labelled part and in it."""


@dataclass(frozen=True)
class Recipe:
    """Scenes, light and actors of a category.

    Attributes:
        themes: Its scenes, by turns.
        light: How they are lit.
        before: Effects on the background, before the actors enter.
        lights: Effects on the lit scene with its actors.
        camera: How the camera moves.
        margin: Size of the painted canvas in frames, for a camera that moves.
        density: Canvas pixels per frame pixel, for a camera that zooms.
        after: Effects on the picture.
        noise: Standard deviation of the sensor's noise in grey levels.
        blur: Blur of the lens, as a fraction of the frame's height.
        pace: Factor on the actors' speed.
        gap: Factor on the time between two actors.
        stops: Whether actors stop for long.
        haze: Sight in metres.
        snow: Whether the ground is covered with snow.
        whole: Whether the region of interest is always the whole frame.
        casting: Who appears, where pace, gap and stops do not say it.
        eye: Lowest and highest place of the camera in metres, instead of the theme's own.
    """

    themes: tuple[str, ...]
    light: Light = _DAY
    before: tuple[EffectFactory, ...] = ()
    lights: tuple[EffectFactory, ...] = ()
    camera: CameraFactory | None = None
    margin: tuple[float, float] = (1.0, 1.0)
    density: float = 1.0
    after: tuple[EffectFactory, ...] = ()
    noise: float = 1.8
    blur: float = 0.0019
    pace: float = 1.0
    gap: float = 0.8
    stops: bool = False
    haze: float = 900.0
    snow: bool = False
    whole: bool = False
    casting: Casting | None = None
    eye: tuple[float, float] | None = None


RECIPES: dict[str, Recipe] = {
    "baseline": Recipe(("highway", "park", "office")),
    "cameraJitter": Recipe(("street", "highway", "plaza"), camera=effects.shaken, margin=(1.16, 1.16)),
    "dynamicBackground": Recipe(("lake", "park", "plaza"), before=(effects.wind, effects.fountain)),
    "intermittentObjectMotion": Recipe(("parking", "street", "office"), stops=True, gap=1.5),
    "shadow": Recipe(("plaza", "street", "park"), SUN),
    "thermal": Recipe(
        ("park", "corridor", "parking"), Light(shadow=0.06, thermal=True), after=(effects.thermal,), noise=2.4
    ),
    "badWeather": Recipe(
        ("street", "highway", "park"), Light(shadow=0.15, softness=0.4), after=(effects.snowfall,), haze=75.0, snow=True
    ),
    "lowFramerate": Recipe(("highway", "lake", "plaza"), after=(effects.steps,), pace=7.0),
    "nightVideos": Recipe(
        ("street", "highway", "parking"), Light(shadow=0.1), lights=(effects.night,), noise=5.5, blur=0.0026
    ),
    "PTZ": Recipe(("plaza", "parking", "street"), camera=effects.steered, margin=(1.85, 1.3), density=1.25, whole=True),
    "turbulence": Recipe(("airfield",), after=(effects.hot_air,), haze=380.0, blur=0.003, noise=2.6),
}

CATEGORIES: tuple[str, ...] = tuple(RECIPES)
"""The eleven categories of CDnet2014."""

_SMALLEST = (64, 48)
_LARGEST = 4096
_FAINT = 0.25
"""The share of the sun below which shadows are not labelled."""
_HAZE = np.array([206, 204, 202], np.float32)


class Plan(ABC):
    """One video of a twin, and how it lies on disk."""

    dataset: ClassVar[str]
    """In whose layout it is."""
    has_own_name: ClassVar[bool]
    """Whether no other video, of whatever seed, has a folder of the same name."""

    index: int
    seed: int

    @property
    @abstractmethod
    def recipe(self) -> Recipe:
        """Its recipe."""

    @property
    def theme(self) -> str:
        """The place that it shows."""
        return self.recipe.themes[self.index % len(self.recipe.themes)]

    @property
    @abstractmethod
    def key(self) -> str:
        """Its folder below the twin's."""

    @property
    @abstractmethod
    def lot(self) -> str:
        """Name that seeds its random numbers, together with the seed."""

    def rng(self) -> np.random.Generator:
        """Return its own random numbers, whatever else is rendered."""
        digest = hashlib.sha256(f"{self.seed}/{self.lot}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:16], "big"))

    def actors(self, scene: Scenery, rng: np.random.Generator, unlabelled: int, labelled: int) -> list[Actor]:
        """Choose who appears in it."""
        recipe = self.recipe
        if recipe.casting:
            return recipe.casting(scene, rng, unlabelled, labelled)
        return company(scene, rng, unlabelled, labelled, recipe.pace, recipe.gap, recipe.stops)

    @abstractmethod
    def write(self, renderer: Renderer, folder: Path) -> None:
        """Render all frames into a folder that is there."""


@dataclass(frozen=True)
class VideoPlan(Plan):
    """One video of CDnet2014's twin.

    Attributes:
        category: Its category.
        index: Its number in the category, from 0.
        seed: The twin's seed.
    """

    dataset = "CDnet2014"
    has_own_name = True
    recipes: ClassVar[dict[str, Recipe]] = RECIPES
    """Category → its recipe."""
    masked_from_start: ClassVar[bool] = False
    """Whether each frame has a mask, instead of those of the labelled part alone."""

    category: str
    index: int
    seed: int = 0

    @property
    def recipe(self) -> Recipe:
        """The recipe of its category."""
        return self.recipes[self.category]

    @property
    def number(self) -> int:
        """Its number among the videos of all categories."""
        return self.index * len(self.recipes) + list(self.recipes).index(self.category)

    @property
    def name(self) -> str:
        """Its folder's name, unlike that of any other video of any seed."""
        return f"{self.theme}_{self.number}_s{self.seed}"

    @property
    def outline(self) -> int:
        """Which of the three regions of interest it has; 0 is the whole frame."""
        return 0 if self.recipe.whole else self.index + CATEGORIES.index(self.category)

    @property
    def key(self) -> str:
        """Its folder below the twin's: ``category/name``."""
        return f"{self.category}/{self.name}"

    @property
    def lot(self) -> str:
        """Name that seeds its random numbers, together with the seed."""
        return f"{self.category}/{self.index}"

    def write(self, renderer: Renderer, folder: Path) -> None:
        """Render all frames in CDnet2014's layout."""
        for name in ("input", "groundtruth"):
            (folder / name).mkdir()
        setup = renderer.setup
        first, last = 1 if self.masked_from_start else setup.unlabelled + 1, setup.unlabelled + setup.labelled
        roi = _roi(setup.format.size, self.outline)
        blank = np.full(roi.shape, OUTSIDE_ROI, np.uint8)
        image = np.zeros((*roi.shape, 3), np.uint8)
        for frame in range(1, last + 1):
            shot = renderer.shot(frame)
            image = shot.image
            save(folder / "input" / f"in{frame:06d}.jpg", image, (cv2.IMWRITE_JPEG_QUALITY, 93))
            mask = np.where(roi > 0, _mask(shot), OUTSIDE_ROI).astype(np.uint8) if frame >= first else blank
            save(folder / "groundtruth" / f"gt{frame:06d}.png", mask, (cv2.IMWRITE_PNG_COMPRESSION, 3))
        save(folder / "ROI.bmp", roi)
        outline, _ = cv2.findContours(roi, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        save(folder / "ROI.jpg", np.asarray(cv2.drawContours(image.copy(), outline, -1, (0, 0, 255), 2), np.uint8))
        (folder / "temporalROI.txt").write_text(f"{first} {last}", encoding="ascii")


@dataclass(frozen=True)
class SequencePlan(Plan):
    """One sequence of a twin of a dataset whose sequences have fixed names.

    Attributes:
        name: Its name.
        seed: The twin's seed.
        index: Which of its recipe's themes it shows.
    """

    has_own_name = False

    name: str
    seed: int = 0
    index: int = 0

    @property
    def key(self) -> str:
        """Its folder below the twin's: its name."""
        return self.name

    @property
    def lot(self) -> str:
        """Name that seeds its random numbers, together with the seed."""
        return f"{self.dataset}/{self.name}"


VideoKind = TypeVar("VideoKind", bound=VideoPlan)


def plan(videos_per_category: int = 3, categories: Sequence[str] | None = None, seed: int = 0) -> list[VideoPlan]:
    """List the videos of a twin.

    Args:
        videos_per_category: How many videos each category has.
        categories: Categories to render; all eleven by default.
        seed: Another seed gives other scenes, with other names.

    Raises:
        UserError: If a category is unknown, or no video is asked for.
    """
    return listed(VideoPlan, videos_per_category, categories, seed)


def listed(
    kind: type[VideoKind], videos_per_category: int, categories: Sequence[str] | None, seed: int
) -> list[VideoKind]:
    """List the videos of one kind of plan, as :func:`plan` does."""
    check_range("--", least=1, most=10_000, videos_per_category=videos_per_category)
    check_range("--", least=0, below=2**63, seed=seed)
    chosen = tuple(kind.recipes) if categories is None else tuple(dict.fromkeys(categories))
    if unknown := [category for category in chosen if category not in kind.recipes]:
        raise UserError(f"--categories: unknown {', '.join(unknown)}; choose among {', '.join(kind.recipes)}.")
    return [kind(category, index, seed) for category in chosen for index in range(videos_per_category)]


def synthesize(
    root: Path,
    *,
    videos_per_category: int = 3,
    categories: Sequence[str] | None = None,
    size: tuple[int, int] = (320, 240),
    unlabelled: int = 60,
    labelled: int = 60,
    seed: int = 0,
    workers: int = 1,
) -> Iterator[Path]:
    """Render a synthetic twin of CDnet2014 in its layout on disk; videos that are there already are left alone.

    Args:
        root: Folder of the categories; created if need be.
        videos_per_category: How many videos each category has.
        categories: Categories to render; all eleven by default.
        size: Width and height of the frames.
        unlabelled: Number of frames before the temporal region of interest.
        labelled: Number of frames inside the temporal region of interest.
        seed: The same seed gives the same bytes, whatever the number of workers and the categories asked for.
        workers: Number of processes.

    Returns:
        An iterator that renders, and yields the folder of each finished video in the order of :func:`plan`.

    Raises:
        UserError: If an option makes no sense; before anything is rendered.
    """
    return render_all(root, plan(videos_per_category, categories, seed), size, unlabelled, labelled, workers)


def render_all(
    root: Path, videos: Sequence[Plan], size: tuple[int, int], unlabelled: int, labelled: int, workers: int
) -> Iterator[Path]:
    """Return an iterator that renders videos below a folder, and yields the folder of each finished one, in order.

    The folder is marked as a rendered dataset's first; see :mod:`bgsub_lightning.datasets.origin`.

    Raises:
        UserError: If an option makes no sense, or the folder holds anything else; before anything is rendered.
    """
    _check(size, unlabelled, labelled)
    check_range("--", least=1, most=256, workers=workers)
    if root.exists() and not root.is_dir():
        raise UserError(f"--out: {root} is a file; give a folder that holds the twin, or is to be created.")
    if videos:
        mark(root, videos[0].dataset, (video.seed for video in videos), many=videos[0].has_own_name)
    fix = "Complete videos are kept. Continue with fewer: --workers N."
    return in_processes(_render_below, (root, size, unlabelled, labelled), videos, workers, fix)


def _check(size: tuple[int, int], unlabelled: int, labelled: int) -> None:
    check_range("--", least=_SMALLEST[0], most=_LARGEST, width=size[0])
    check_range("--", least=_SMALLEST[1], most=_LARGEST, height=size[1])
    check_range("--", least=1, most=100_000, unlabelled=unlabelled, labelled=labelled)


def _render_below(shared: tuple[Path, tuple[int, int], int, int], video: Plan) -> Path:
    root, size, unlabelled, labelled = shared
    folder = root / video.key
    make_folder(folder.parent, within=root)
    render_video(video, folder, size=size, unlabelled=unlabelled, labelled=labelled)
    return folder


def render_video(
    video: Plan, folder: Path, *, size: tuple[int, int] = (320, 240), unlabelled: int = 60, labelled: int = 60
) -> None:
    """Render one video; it appears under its name when it is complete, and is left alone if it is there already.

    Args:
        video: Which video.
        folder: Its folder.
        size: Width and height of the frames.
        unlabelled: Number of frames before the temporal region of interest.
        labelled: Number of frames inside the temporal region of interest.

    Raises:
        UserError: If an option makes no sense.
    """
    _check(size, unlabelled, labelled)
    if folder.exists():
        return
    for left in folder.parent.glob(f".{folder.name}.*{PARTIAL}"):  # by a killed process
        shutil.rmtree(left, ignore_errors=True)
    partial_folder = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}{PARTIAL}")
    partial_folder.mkdir(parents=True)
    try:
        video.write(Renderer.of(video, size, unlabelled, labelled), partial_folder)
        partial_folder.rename(folder)
    except BaseException:
        shutil.rmtree(partial_folder, ignore_errors=True)
        raise


def save(path: Path, image: NDArray[Any], options: tuple[int, ...] = ()) -> None:
    """Write an image, encoded as its name says."""
    # Not imwrite, which returns False without a reason when it fails, and cannot write all names on all systems.
    done, data = cv2.imencode(path.suffix, image, options)
    if not done:
        raise OSError(f"OpenCV cannot encode {path}.")
    path.write_bytes(data.tobytes())


@dataclass
class Renderer:
    """Renders the frames of a video."""

    setup: EffectSetup
    light: Light
    haze: float
    backdrop: ByteArray
    actors: list[Actor]
    before: list[Effect]
    lights: list[Effect]
    camera: effects.Camera | None
    after: list[Effect]

    @classmethod
    def of(cls, video: Plan, size: tuple[int, int], unlabelled: int, labelled: int) -> Renderer:
        """Build the scene, choose its actors and set up the effects."""
        recipe = video.recipe
        scenery, extras, *streams = video.rng().spawn(20)
        format_ = Format(size, recipe.margin, recipe.density)
        light = _varied(recipe.light, scenery)
        night, windy = effects.night in recipe.lights, effects.gale in recipe.before
        eye = float(scenery.uniform(*recipe.eye)) if recipe.eye else None
        scene = THEMES[video.theme](Set(scenery, format_, Light(light.direction), recipe.snow, night, windy, eye))
        numbers = iter(streams)

        def make(factories: Sequence[EffectFactory]) -> list[Effect]:
            return [f(EffectSetup(scene, format_, unlabelled, labelled, video.index, next(numbers))) for f in factories]

        waves = (
            (effects.ripples(26.0 if {effects.wind, effects.gale} & set(recipe.before) else 15.0),)
            if scene.water
            else ()
        )
        before, lights = make((*recipe.before, *waves)), make(recipe.lights)
        after = make((*recipe.after, effects.sensor(recipe.noise, recipe.blur)))
        setup = EffectSetup(scene, format_, unlabelled, labelled, video.index, next(numbers))
        camera = recipe.camera(setup) if recipe.camera else None
        actors = video.actors(scene, extras, unlabelled, labelled)
        backdrop = _backdrop(scene, recipe)
        return cls(setup, light, recipe.haze, backdrop, actors, before, lights, camera, after)

    def shot(self, frame: int) -> Shot:
        """Return a frame, its image in uint8; frames must be asked for in order."""
        matrix = self.camera(frame) if self.camera else None
        left, right = self._borders(matrix)
        found = ((actor, place) for actor in self.actors if (place := actor.place(frame)))
        places = [(actor, place) for actor, place in found if self._near(actor, place, left, right)]
        places.sort(key=lambda pair: -pair[1].z)
        blank = np.zeros(self.backdrop.shape[:2], np.uint8)
        shot = Shot(self.backdrop.copy(), blank, blank.copy(), blank.copy(), places)
        for effect in self.before:
            effect(shot, frame)
        self._shadows(shot, frame)
        for actor, place in places:
            self._enter(shot, actor, place, frame)
        for effect in self.lights:
            effect(shot, frame)
        if matrix is not None:
            self._look(shot, matrix)
        for effect in self.after:
            effect(shot, frame)
        shot.image = np.asarray(shot.image, np.uint8)
        return shot

    def _borders(self, matrix: FloatArray | None) -> tuple[float, float]:
        """Return the columns of the canvas between which the camera looks."""
        if matrix is None:
            return 0.0, float(self.backdrop.shape[1])
        width, height = self.setup.format.size
        corners = np.array([[0, 0, width, width], [0, height, 0, height]]) - matrix[:, 2:]
        x = np.linalg.solve(matrix[:, :2], corners)[0]
        return float(x.min()), float(x.max())

    def _near(self, actor: Actor, place: Place, left: float, right: float) -> bool:
        """Return whether an actor, its shadow or its headlights may be seen."""
        view = self.setup.scene.view
        scale = view.focal / max(place.z, 0.4)
        x, reach = view.centre + place.x * scale, (14.0 if actor.model.lamps and self.lights else 4.5) * scale
        return left - reach < x < right + reach

    def _shadows(self, shot: Shot, frame: int) -> None:
        shadows = np.zeros_like(shot.cover)
        box: list[Patch] = []
        for actor, place in shot.cast:
            if actor.model.afloat or (patch := cast(self.setup.scene.view, actor.model, place, self.light)) is None:
                continue
            if shot.occluder is not None:
                patch.pixels[shot.occluder[patch.box] < place.z] = 0
            np.maximum(shadows[patch.box], patch.pixels, out=shadows[patch.box])
            if self.light.hard and frame >= actor.labelled_from:
                # Where the sun is all but gone nobody sees a shadow.
                seen = patch.pixels if shot.sun is None else patch.pixels * (shot.sun[patch.box] > _FAINT)
                np.maximum(shot.shade[patch.box], seen, out=shot.shade[patch.box])
            box.append(patch)
        for patch in box:
            area = shadows[patch.box]
            dark = area.astype(np.float32)[..., None] * np.float32(self.light.shadow / 255)
            if shot.sun is not None:
                dark *= shot.sun[patch.box][..., None]
            image = shot.image[patch.box]
            image[:] = (image * (1 - dark)).astype(np.uint8)
            area[:] = 0

    def _enter(self, shot: Shot, actor: Actor, place: Place, frame: int) -> None:
        view, painting = self.setup.scene.view, self.setup.scene.painting
        if actor.model.afloat and (reflection := mirror(view, actor.model, place, self.light)):
            _lay(
                shot.image[reflection.box],
                reflection.pixels[..., :3],
                reflection.pixels[..., 3:].astype(np.float32) / 255,
            )
        if (patch := draw(view, actor.model, place, self.light)) is None:
            return
        alpha = patch.pixels[..., 3:].astype(np.float32) / 255
        occluder = painting.occluder if shot.occluder is None else shot.occluder
        seen = occluder[patch.box][..., None] > place.z
        veil = np.float32(1 - np.exp(-place.z / self.haze))
        colours = patch.pixels[..., :3] * (1 - veil) + _HAZE * veil * alpha
        _lay(shot.image[patch.box], colours * seen, alpha * seen)
        label = np.float32(255 if frame >= actor.labelled_from else 0)
        _lay(shot.cover[patch.box][..., None], label * alpha * seen, alpha * seen)
        _lay(shot.still[patch.box][..., None], label * actor.rests(frame) * alpha * seen, alpha * seen)

    def _look(self, shot: Shot, matrix: FloatArray) -> None:
        warped = partial(
            cv2.warpAffine,
            M=matrix,
            dsize=self.setup.format.size,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )
        shot.image = np.asarray(warped(shot.image))
        planes = (shot.cover, shot.shade, shot.still)
        shot.cover, shot.shade, shot.still = (np.asarray(warped(plane), np.uint8) for plane in planes)


def _lay(below: NDArray[Any], above: NDArray[Any], alpha: NDArray[Any]) -> None:
    """Composite premultiplied colours over uint8 ones, in place."""
    below[:] = (below * (1 - alpha) + above + 0.5).clip(0, 255).astype(np.uint8)


def _varied(light: Light, rng: np.random.Generator) -> Light:
    """Turn the light to either side, and the sun higher or lower."""
    side = float(rng.choice([-1, 1]))
    (x, y, z), (fall_x, fall_z) = light.direction, light.fall
    stretch = rng.uniform(0.7, 1.15)
    return Light(
        (side * x, y, z),
        (side * stretch * fall_x, stretch * fall_z),
        light.shadow,
        light.softness,
        light.hard,
        light.thermal,
    )


def _backdrop(scene: Scenery, recipe: Recipe) -> ByteArray:
    """Return the background as the camera sees it, in haze, or by its heat."""
    depth = scene.painting.depth
    # The sky has its own haze, unless the weather is bad.
    veil = np.where(depth < 9e3, 1 - np.exp(-depth / recipe.haze), np.exp(-recipe.haze / 100))[..., None]
    image = scene.painting.image
    if recipe.light.thermal:
        grey = image @ np.array([0.2, 0.5, 0.3]) * 0.3 + 40
        return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, 2)
    if not scene.indoor:
        image = image + (_HAZE - image) * veil
    return np.asarray(np.clip(image, 0, 255), np.uint8)


def _roi(size: tuple[int, int], kind: int) -> ByteArray:
    """Return a region of interest: the whole frame, all but the top, or all but a corner."""
    width, height = size
    roi = np.full((height, width), 255, np.uint8)
    if kind % 3 == 1:
        roi[: round(0.12 * height)] = 0
    elif kind % 3 == 2:
        corner = np.array([(0, 0), (round(0.3 * width), 0), (0, round(0.28 * height))], np.int32)
        cv2.fillPoly(roi, [corner], (0,))
    return roi


def _mask(shot: Shot) -> ByteArray:
    mask = np.zeros(shot.cover.shape, np.uint8)
    for coverage, level, sure in ((shot.shade, SHADOW, 160), (shot.cover, MOVING, 225)):
        around, inside = outlined(coverage, sure)
        mask[around] = UNKNOWN
        mask[inside] = level
    return mask


def outlined(coverage: ByteArray, sure: int = 225) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where something is or may be, one pixel around it included, and where it is for sure."""
    inside = coverage >= 128
    around = cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.asarray(around) > 0, inside & (coverage >= sure)
