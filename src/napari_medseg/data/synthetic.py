"""Tissue that never was: pictures in the colours of haematoxylin and eosin, with the glands that were drawn.

For samples, the demo model, tests and first steps without any patient's data. Benign tissue has separate round glands
with one lumen and an even ring of nuclei; malignant tissue has crowded, ragged glands, several lumina in one outline
(cribriform) and larger, darker, disordered nuclei. Nothing here is a measurement of real tissue.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture
from scipy import ndimage

from napari_medseg.data.dataset import Dataset
from napari_medseg.structures import DatasetInfo, MaskClass, TagClass

GLAND = MaskClass(value=1, name="gland", color="#0072b2")
TAGS = (TagClass(name="benign", color="#009e73"), TagClass(name="malignant", color="#d55e00"))

#: Optical density per unit of haematoxylin and of eosin for red, green and blue: the reference stains of Macenko et
#: al., "A method for normalizing histology slides for quantitative analysis", ISBI 2009.
_STAINS = np.array([[0.5626, 0.7201, 0.4062], [0.2159, 0.8012, 0.5581]], np.float32)

Floats = npt.NDArray[np.float32]
Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Growth:
    """How glands of one kind look; lengths in pixels, shares between 0 and 1."""

    radius: tuple[float, float]
    roughness: float
    gap: float
    coverage: float
    lumina: tuple[int, int]
    nucleus: float
    disorder: float
    darkness: float


_BENIGN = _Growth(
    radius=(34.0, 52.0),
    roughness=0.07,
    gap=9.0,
    coverage=0.40,
    lumina=(1, 1),
    nucleus=3.0,
    disorder=0.12,
    darkness=0.85,
)
_MALIGNANT = _Growth(
    radius=(36.0, 78.0), roughness=0.2, gap=3.0, coverage=0.55, lumina=(1, 5), nucleus=3.9, disorder=0.6, darkness=1.0
)


def tissue(
    size: int = 512, seed: int = 0, malignant: bool = False
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """A picture of stained tissue and its glands.

    Parameters
    ----------
    size
        Height and width in pixels (about one micrometre each), at least 32.
    seed
        Equal seeds give equal pictures.
    malignant
        Which of the two kinds of growth.

    Returns
    -------
    rgb uint8 (y, x, 3), labels uint8 (y, x) with 1 inside a gland's outline (lumen included) and 0 elsewhere

    Examples
    --------
    >>> image, labels = tissue(size=128, seed=1)
    >>> image.shape, labels.shape, sorted(set(labels.ravel().tolist()))
    ((128, 128, 3), (128, 128), [0, 1])
    """
    if size < 32:
        raise ValueError(f"Synthetic tissue needs a size of at least 32 pixels, got {size}.")
    rng = np.random.default_rng([seed, int(malignant)])
    growth = _vary(_MALIGNANT if malignant else _BENIGN, rng)
    inside = np.zeros((size, size), bool)
    lumen = np.zeros((size, size), bool)
    rim = np.full((size, size), np.inf, np.float32)
    for _ in range(250):
        if inside.mean() >= growth.coverage:
            break
        _add_gland(inside, lumen, rim, growth, rng)
    stain = _stain(inside, lumen, rim, growth, rng)
    return _develop(stain, rng), inside.astype(np.uint8)


def make_dataset(folder: str | os.PathLike[str], n: int = 24, size: int = 256, seed: int = 0) -> Dataset:
    """A small finished data set: tags for all, masks for all but half of the training cases.

    Cases come in pairs, one benign and one malignant, of one made-up patient; of five patients three are for training,
    one for validation, one for the test.

    Parameters
    ----------
    folder
        A new or empty folder.
    n
        Number of cases, at least 2.
    size
        Height and width of each picture in pixels.
    seed
        Equal seeds give equal data sets.

    Raises
    ------
    DatasetError, WriteError
        The folder holds something already, or cannot be written.
    """
    if n < 2:
        raise ValueError(f"A data set of both kinds of tissue needs at least 2 cases, got {n}.")
    info = DatasetInfo(name="synthetic tissue", classes=(GLAND,), tags=TAGS)
    data = Dataset.create(folder, info, author="synthetic")
    images = data.path / "images"
    images.mkdir()
    for i in range(n):
        patient, malignant = i // 2, bool(i % 2)
        split = ("train", "val", "train", "test", "train")[patient % 5]
        drawn = split != "train" or patient % 10 in (0, 4, 5)
        name = f"tissue_{i:03}"
        rgb, labels = tissue(size, seed=10_000 * seed + i, malignant=malignant)
        Picture.fromarray(rgb).save(images / f"{name}.png")
        if drawn:
            Picture.fromarray(labels).save(data.labels_folder / f"{name}.png")
        data.add_case(
            images / f"{name}.png",
            case=name,
            group=f"patient {patient:02}",
            split=split,
            tag=TAGS[malignant].name,
            label=f"{name}.png" if drawn else "",
            origin="person",
            status="done",
        )
    return data


def _vary(growth: _Growth, rng: np.random.Generator) -> _Growth:
    """Each picture differs a little, so that no single number tells the kinds apart."""
    factor = rng.uniform(0.8, 1.2, 5)
    low, high = growth.radius
    return _Growth(
        radius=(low * factor[0], high * factor[0]),
        roughness=growth.roughness * factor[1],
        gap=growth.gap,
        coverage=growth.coverage * factor[2],
        lumina=growth.lumina,
        nucleus=growth.nucleus * (0.5 + 0.5 * factor[3]),
        disorder=growth.disorder,
        darkness=growth.darkness * (0.6 + 0.4 * factor[4]),
    )


def _smooth_noise(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> Floats:
    """Noise of zero mean and unit deviation with structures of about `sigma` pixels; made coarse, then enlarged."""
    step = max(1, int(sigma / 2))
    coarse: Floats = rng.standard_normal([n // step + 3 for n in shape]).astype(np.float32)
    coarse = ndimage.gaussian_filter(coarse, sigma / step, mode="wrap")
    coarse = (coarse - coarse.mean()) / max(float(coarse.std()), 1e-6)
    if step == 1:
        return coarse[tuple(slice(n) for n in shape)]
    zoomed: Floats = ndimage.zoom(coarse, step, order=1)[tuple(slice(n) for n in shape)]
    return zoomed


def _outline(
    shape: tuple[int, int], centre: npt.NDArray[np.float64], radius: float, growth: _Growth, rng: np.random.Generator
) -> Floats:
    """Signed distance to a closed wavy outline, in pixels, roughly; negative inside. Array (y, x)."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    dy, dx = (y - centre[0]).astype(np.float32), (x - centre[1]).astype(np.float32)
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(1.0, 1.45)
    along, across = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    along, across = along / np.sqrt(stretch), across * np.sqrt(stretch)
    angle = np.arctan2(across, along)
    wave = np.zeros_like(angle)
    for order in range(2, 8):
        wave += rng.normal(0, growth.roughness / np.sqrt(order)) * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    distance: Floats = np.hypot(along, across) - np.float32(radius) * (1 + wave)
    return distance


def _add_gland(inside: Masks, lumen: Masks, rim: Floats, growth: _Growth, rng: np.random.Generator) -> None:
    """Try one gland at a random place; draw it where it keeps its distance from the others. Changes all three in place.

    `rim` collects the distance to the nearest epithelial edge, outer or inner, in pixels.
    """
    size = inside.shape[0]
    radius = rng.uniform(*growth.radius)
    centre = rng.uniform(-0.3 * radius, size + 0.3 * radius, 2)
    reach = int(1.9 * radius + growth.gap) + 2
    y0, x0 = np.maximum(centre.astype(int) - reach, 0)
    y1, x1 = np.minimum(centre.astype(int) + reach, size)
    if y1 - y0 < 8 or x1 - x0 < 8:
        return
    window = np.s_[y0:y1, x0:x1]
    middle = np.clip(centre.astype(int), 0, size - 1)
    if inside[middle[0], middle[1]]:
        return  # taken; found out before the outline's cost
    distance = _outline((y1 - y0, x1 - x0), centre - (y0, x0), radius, growth, rng)
    if (inside[window] & (distance < growth.gap)).any():
        return
    body = distance < 0
    holes = _lumina(body, distance, radius, growth, rng)
    inside[window] |= body
    lumen[window] |= holes
    to_edge = np.minimum(-distance, ndimage.distance_transform_edt(~holes) if holes.any() else np.inf)
    rim[window] = np.where(body, to_edge, rim[window])


def _lumina(body: Masks, distance: Floats, radius: float, growth: _Growth, rng: np.random.Generator) -> Masks:
    """The empty spaces of one gland: one in the middle, or several punched through a solid sheet."""
    count = int(rng.integers(growth.lumina[0], growth.lumina[1] + 1))
    wall = radius * rng.uniform(0.36, 0.5)
    wobble = _smooth_noise(body.shape, 7.0, rng) * (1.0 + 4.0 * growth.disorder)
    if count == 1:
        return body & (distance + wobble < -wall)
    rows, columns = np.nonzero(distance < -0.3 * radius)
    holes = np.zeros_like(body)
    y, x = np.ogrid[: body.shape[0], : body.shape[1]]
    for _ in range(count if len(rows) else 0):
        pick = rng.integers(len(rows))
        hole = radius * rng.uniform(0.12, 0.24)
        holes |= np.hypot(y - rows[pick], x - columns[pick]) + wobble < hole
    return holes & (distance < -0.2 * radius)


def _nuclei(
    where: npt.NDArray[np.float32], spacing: float, radius: float, disorder: float, rng: np.random.Generator
) -> Floats:
    """Darkness 0..1 of elongated nuclei dropped where `where` (a chance 0..1) allows, about `spacing` pixels apart."""
    size = where.shape[0]
    grid = np.arange(0, size, spacing)
    points = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
    points = points + rng.uniform(-0.5, 0.5, points.shape) * spacing * (0.7 + disorder)
    index = np.clip(points.round().astype(int), 0, size - 1)
    points = points[rng.random(len(points)) < where[index[:, 0], index[:, 1]]]
    reach = int(np.ceil(3.2 * radius))
    ink = np.zeros((size + 2 * reach, size + 2 * reach), np.float32)  # a margin for nuclei at the picture's edge
    offset = np.arange(-reach, reach + 1)
    for y, x in np.clip(points, 0, size - 1):
        row, column = round(y), round(x)
        r = radius * (1 + 0.35 * disorder * rng.standard_normal()) * rng.uniform(0.85, 1.15)
        turn, stretch = rng.uniform(0, np.pi), rng.uniform(1.05, 1.6)
        dy, dx = offset[:, None] - (y - row), offset[None, :] - (x - column)
        u, v = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
        shape = np.hypot(u / np.sqrt(stretch), v * np.sqrt(stretch))
        blob = np.clip((max(r, 1.0) - shape) / 1.2 + 0.5, 0, 1) * rng.uniform(0.75, 1.0)
        spot = ink[row : row + 2 * reach + 1, column : column + 2 * reach + 1]
        np.maximum(spot, blob, out=spot)
    return ink[reach : reach + size, reach : reach + size]


def _stain(inside: Masks, lumen: Masks, rim: Floats, growth: _Growth, rng: np.random.Generator) -> Floats:
    """Amounts of haematoxylin and eosin, float32 (y, x, 2)."""
    shape = inside.shape
    epithelium = inside & ~lumen
    fibres = _smooth_noise(shape, 2.0, rng) * 0.6 + _streaks(shape, rng)
    patches = _smooth_noise(shape, 40.0, rng)
    eosin = 0.42 + 0.07 * fibres + 0.07 * patches
    eosin = np.where(epithelium, 0.36 + 0.05 * _smooth_noise(shape, 3.0, rng), eosin)
    debris = np.clip(_smooth_noise(shape, 5.0, rng) - 1.6, 0, 1)
    eosin = np.where(lumen, 0.03 + 0.3 * debris, eosin)

    # Benign nuclei sit in one row a little inside the outer edge; with disorder they lose their places.
    row = np.exp(-(((rim - 7.0) / (3.0 + 11.0 * growth.disorder)) ** 2))
    chance = np.where(epithelium, np.clip(row + 0.3 * growth.disorder, 0, 1), 0).astype(np.float32)
    glandular = _nuclei(chance, 2.1 * growth.nucleus, growth.nucleus, growth.disorder, rng)
    crowd = np.clip(0.35 + 0.3 * patches, 0.05, 0.9)
    stromal = _nuclei(np.where(inside, 0, crowd * 0.5).astype(np.float32), 9.0, 2.2, 0.5, rng)
    chromatin = 1 + 0.15 * _smooth_noise(shape, 1.5, rng)
    cytoplasm = 0.03 + 0.14 * epithelium + 0.01 * fibres
    haematoxylin = np.where(lumen, 0.01, cytoplasm) + chromatin * (growth.darkness * glandular + 0.75 * stromal)
    eosin = eosin * (1 - 0.35 * np.maximum(glandular, stromal))
    soft = ndimage.gaussian_filter(np.stack([haematoxylin, eosin], -1), (0.6, 0.6, 0))
    amounts: Floats = np.clip(soft, 0, None).astype(np.float32)
    return amounts


def _streaks(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Wavy bundles of collagen: waves across a slowly turning direction."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    bend = 9.0 * _smooth_noise(shape, 30.0, rng)
    turn = rng.uniform(0, np.pi)
    across = x * np.cos(turn) + y * np.sin(turn) + bend
    strength = np.clip(0.6 + 0.5 * _smooth_noise(shape, 25.0, rng), 0, None)
    streaks: Floats = np.sin(across * (2 * np.pi / 7.5)) * strength * 0.5
    return streaks


def _develop(stain: Floats, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Colours from stain amounts (Beer-Lambert), with the tint, uneven light and grain of a scanned slide."""
    strength = rng.uniform(0.7, 1.3, 2).astype(np.float32)
    vectors = _STAINS * rng.uniform(0.93, 1.07, _STAINS.shape).astype(np.float32)
    light = 0.96 + 0.01 * _smooth_noise(stain.shape[:2], 120.0, rng)[..., None]
    grain = rng.normal(0, 0.01, (*stain.shape[:2], 3))
    rgb = np.exp(-(stain * strength) @ vectors) * light + grain
    pixels: npt.NDArray[np.uint8] = (np.clip(rgb, 0, 1) * 255).round().astype(np.uint8)
    return pixels
