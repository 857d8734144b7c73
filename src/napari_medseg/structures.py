"""The values that the layers of this package hand to each other: frozen, typed, with axes and units stated.

Axes are letters: ``z`` (slice), ``y`` (row), ``x`` (column), ``t`` (time), ``c`` (channel). Arrays keep the order in
which their file stores them (`Image.axes`), because napari and zarr want them so; everything that computes asks for
``(c, [z,] y, x)`` through `Image.region`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

Kind = Literal["image", "slide", "oct", "ct", "mr", "ultrasound"]
KINDS: tuple[Kind, ...] = ("image", "slide", "oct", "ct", "mr", "ultrasound")

#: Value of a pixel that nobody has looked at; never a class.
NOT_LOOKED_AT = 255
#: Value of a pixel that was looked at and holds no class.
BACKGROUND = 0

#: Tag index of a case without a tag; ignored by losses.
NO_TAG = -1

#: ``(start, stop)`` per spatial axis, in level-0 pixels, in the order of `Image.spatial_axes`.
Box = tuple[tuple[int, int], ...]

#: The two ends of a straight line, each ``([z,] y, x)`` in level-0 pixels, counted from the middle of the first pixel.
Segment = tuple[tuple[float, ...], tuple[float, ...]]

#: Called with (done, total, text); raises `errors.Cancelled` to stop the work that reports.
Progress = Callable[[int, int, str], None]


class ArrayLike(Protocol):
    """What numpy and zarr arrays share, as far as this package needs it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

    @property
    def dtype(self) -> Any:
        """Type of one element."""

    def __getitem__(self, key: Any, /) -> Any:
        """Part of the array, as numpy array."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OctScan:
    """What a scanner tells of an OCT image beside its pixels; never who was scanned.

    Parameters
    ----------
    laterality
        ``"R"`` (OD) or ``"L"`` (OS); empty where the file does not say.
    pattern
        How the B-scans lie: ``"line"``, ``"raster"``, ``"star"``, ``"circle"``, ``"repeat"`` (the same place again);
        empty where unknown.
    device
        Maker and model, as far as known.
    surfaces
        The device's own boundaries by name, from top to bottom: float32 (bscan, x) rows, NaN where there is none. A
        single B-scan counts as one. Rows as in `napari_medseg.annotation.surfaces`.
    localizer
        The fundus or SLO picture, with its own spacing; None where the file has none.
    positions
        float (bscan, 2, 2): where each B-scan starts and ends on the localizer, as (y, x) in its pixels (for a circle,
        start point and centre); None where unknown.
    """

    laterality: Literal["", "R", "L"] = ""
    pattern: Literal["", "line", "raster", "star", "circle", "repeat"] = ""
    device: str = ""
    surfaces: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    localizer: Image | None = None
    positions: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UltrasoundScan:
    """What an ultrasound machine tells of its frames beside the pixels; never who was scanned.

    Parameters
    ----------
    device
        Maker and model; empty where unknown.
    regions
        Where the file says that tissue is shown, as boxes (y, x) in pixels; only regions that can be true of the
        picture as it is.
    frame_ms
        Milliseconds between frames of a cine; None where there is one frame, or the file does not say.
    color_doppler
        Whether flow is painted over the grey picture, as far as the first frame or the header tells.
    """

    device: str = ""
    regions: tuple[Box, ...] = ()
    frame_ms: float | None = None
    color_doppler: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image as a reader found it: lazy pixel levels and what is known about space.

    Parameters
    ----------
    levels
        Resolution levels, finest first; numpy or zarr arrays with the axes of `axes`. At least one.
    axes
        One letter per array axis, e.g. ``"yx"``, ``"yxc"``, ``"cyx"``, ``"zyx"``, ``"tyx"``.
    spacing
        Distance between neighbouring pixels per spatial axis, in the order of `spatial_axes` and the unit of `units`.
        None where the file does not say; never invented.
    units
        One unit per spatial axis (``"micrometer"``, ``"millimeter"``, ``"second"``); None exactly where `spacing` is.
    kind
        What sort of image it is.
    name
        Short name for people, without folders.
    path
        Where it came from; None for arrays that were never on disk.
    channels
        Channel names; empty when there is no channel axis.
    rgb
        True when the channel axis is red, green, blue (always the last axis then, 3 entries).
    series, series_names
        Which of the file's series this is, and what they are called (a single-image file has one).
    warnings
        Sentences about what was odd in the file, for people.
    metadata
        Further facts by key; never personal data.
    oct
        What an OCT scanner tells beside the pixels; None for other images, and where nothing is known.
    ultrasound
        What an ultrasound machine tells beside the pixels; likewise.
    affine
        float64 (4, 4): maps the index (z, y, x, 1) of a voxel's middle to millimetres (z, y, x, 1), where z counts
        towards the head, y towards the back and x towards the patient's left (DICOM's LPS, in the order of arrays). It
        keeps what `spacing` cannot: origin, direction and shear. For a single slice (``"yx"``), z is 0 and the first
        column is the slice's normal. None where the file does not say.
    """

    levels: tuple[ArrayLike, ...]
    axes: str
    spacing: tuple[float, ...] | None = None
    units: tuple[str, ...] | None = None
    kind: Kind = "image"
    name: str = ""
    path: Path | None = None
    channels: tuple[str, ...] = ()
    rgb: bool = False
    series: int = 0
    series_names: tuple[str, ...] = ("",)
    warnings: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    oct: OctScan | None = None
    ultrasound: UltrasoundScan | None = None
    affine: npt.NDArray[np.float64] | None = None

    @property
    def data(self) -> ArrayLike:
        """The finest level."""
        return self.levels[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the finest level, in the order of `axes`."""
        return tuple(self.levels[0].shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a pixel."""
        dtype: np.dtype[Any] = np.dtype(self.levels[0].dtype)
        return dtype

    @property
    def spatial_axes(self) -> str:
        """Axes without the channel axis, e.g. ``"yx"`` or ``"zyx"``."""
        return self.axes.replace("c", "")

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Shape of the finest level without the channel axis."""
        return tuple(n for n, axis in zip(self.shape, self.axes, strict=True) if axis != "c")

    @property
    def num_channels(self) -> int:
        """Number of channels, 1 when there is no channel axis."""
        return self.shape[self.axes.index("c")] if "c" in self.axes else 1

    def level_shape(self, level: int) -> tuple[int, ...]:
        """Shape of a level without the channel axis."""
        return tuple(n for n, axis in zip(self.levels[level].shape, self.axes, strict=True) if axis != "c")

    def region(self, box: Box | None = None, level: int = 0) -> npt.NDArray[Any]:
        """Pixels of a box, channels first.

        Parameters
        ----------
        box
            ``(start, stop)`` per spatial axis in pixels of `level`, inside the level; None for all of it.
        level
            Index into `levels`.

        Returns
        -------
        array of shape (c, [z,] y, x), with the image's own dtype; c is 1 when there is no channel axis.
        """
        spatial = iter(box) if box is not None else None
        key = tuple(slice(None) if axis == "c" or spatial is None else slice(*next(spatial)) for axis in self.axes)
        pixels = np.asarray(self.levels[level][key])
        if "c" not in self.axes:
            return pixels[np.newaxis]
        return np.moveaxis(pixels, self.axes.index("c"), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskClass:
    """A class that can be drawn: its value in label images (1..254), its name and its colour (``#rrggbb``)."""

    value: int
    name: str
    color: str


#: What happens to the intensity when a surface is crossed downwards; "any" follows the strongest edge of either sign.
Edge = Literal["dark-to-bright", "bright-to-dark", "any"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """A boundary between two structures that lie one above the other in every B-scan.

    Parameters
    ----------
    name
        E.g. ``"ILM"`` or ``"RNFL/GCL"``.
    above, below
        Names of the mask classes on either side; empty for the background.
    edge
        Which edge a curve follows.
    """

    name: str
    above: str
    below: str
    edge: Edge = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class TagClass:
    """A class of a whole image, with its colour (``#rrggbb``)."""

    name: str
    color: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TagResult:
    """What a classifier says about one image: the class and the probability of every class, by name.

    `calibrated`: whether probabilities were brought in line with how often they are right. `graded`: whether the
    classes are grades of the data set, lowest first, rather than tags. `sure`: whether the class is probable enough to
    be believed; None where nothing was set for that.
    """

    tag: str
    probabilities: Mapping[str, float]
    calibrated: bool = False
    graded: bool = False
    sure: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a model says about one image or one region of it.

    Parameters
    ----------
    labels
        uint8 array or zarr array of the region's spatial shape; None when the model draws nothing.
    classes
        Mask classes by value.
    tag
        The image's class; None when the model does not classify.
    probabilities
        float16 array (class, [z,] y, x) with the background first; None unless asked for.
    confidence
        float32 ([z,] x): mean probability of what is drawn in each column, NaN where nothing is; None unless asked for.
    repaired
        Share of columns in which the order of layers was repaired; None where that was not asked for.
    attention
        float32 of the region's shape, 0..1: where the image decided its tag or grade; None unless asked for.
    frames
        What the classifier says of every frame of a cine by itself; empty for a single picture.
    surfaces
        Boundaries between layers that the model knows, from top to bottom (OCT).
    marks_region
        Whether nothing was drawn: the labels are the region that was judged, with the value of its tag.
    region
        The box of level-0 pixels that was predicted.
    seconds
        Wall time.
    notes
        Sentences for people (reflected borders, smaller windows after memory ran out, ...).
    """

    labels: ArrayLike | None
    classes: tuple[MaskClass, ...]
    tag: TagResult | None
    probabilities: ArrayLike | None
    region: Box
    seconds: float
    notes: Sequence[str] = ()
    confidence: npt.NDArray[np.float32] | None = None
    repaired: float | None = None
    attention: npt.NDArray[np.float32] | None = None
    frames: tuple[TagResult, ...] = ()
    surfaces: tuple[Surface, ...] = ()
    marks_region: bool = False


Origin = str  # "person" or "model:<name>"
Status = Literal["todo", "draft", "done", "reviewed"]
Split = Literal["train", "val", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of ``cases.csv``: an image, or a region of one, with its annotations. Empty string: not given.

    The fields are the columns of architecture.md; `extra` keeps columns that this package does not know.
    """

    case: str
    image: str
    region: str = ""
    group: str = ""
    source: str = ""
    split: str = ""
    tag: str = ""
    grade: str = ""
    label: str = ""
    origin: str = ""
    author: str = ""
    status: str = "todo"
    difficulty: str = ""
    revision: int = 0
    updated: str = ""
    note: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInfo:
    """What ``dataset.json`` says.

    `implies` maps a mask class's name, or ``"<empty>"`` (a fully looked-at mask of zeros), to a tag's name.
    `grades` are ordered, lowest first. `surfaces` (OCT) are ordered from top to bottom, each one's `below` being the
    next one's `above`; classes that no surface names (fluid, optic disc) are areas painted over the layers. With
    `blind` nobody sees other readings of a case before their own one is done. `tile` is the side of the tiles that are
    tagged on slides, ``"256 µm"`` or ``"512 px"``; empty: the usual one.
    """

    name: str
    kind: Kind = "image"
    classes: tuple[MaskClass, ...] = ()
    tags: tuple[TagClass, ...] = ()
    grades: tuple[str, ...] = ()
    implies: Mapping[str, str] = field(default_factory=dict)
    surfaces: tuple[Surface, ...] = ()
    blind: bool = True
    tile: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCase:
    """A case as training sees it: split drawn, tag implied where the data set says so, pixels on demand.

    Parameters
    ----------
    tag
        The case's tag, given or implied by its mask; None when there is none.
    grade
        Index into the data set's grades; None when there is none.
    has_mask
        Whether anything was looked at (a mask of zeros counts, a missing one does not).
    load_image
        Returns the case's image, cut to its region.
    load_labels
        Returns uint8 labels of the image's spatial shape (255 = not looked at), or None without a mask.
    content_hash
        Hash of the image file, region, label pixels, tag, grade and split: changes exactly when the case does.
    image_hash
        Hash of the image file and region alone: tells an image that a model has seen, however its labels changed.
    box
        Region of interest that a person drew, in pixels of the case's image; None where nobody did.
    repeats
        How often the case comes in every pass of training.
    """

    case: str
    group: str
    source: str
    split: Split
    tag: str | None
    grade: int | None
    has_mask: bool
    load_image: Callable[[], Image]
    load_labels: Callable[[], npt.NDArray[np.uint8] | None]
    content_hash: str
    image_hash: str
    box: Box | None = None
    repeats: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """The cases of a data set that may be trained and judged with, and what the data set says of their classes.

    `pretraining` is another set, perhaps with other classes, that a network sees first.
    """

    info: DatasetInfo
    cases: tuple[TrainingCase, ...]
    pretraining: TrainingSet | None = None

    def of_split(self, split: Split) -> tuple[TrainingCase, ...]:
        """Cases of one split, in the order of the table."""
        return tuple(case for case in self.cases if case.split == split)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something wrong with a data set or its use: what, where (case, file or row), and how to mend it."""

    text: str
    where: str = ""
    mend: str = ""
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        mend = f" {self.mend}" if self.mend else ""
        return f"{place}{self.text}{mend}"
