"""What the Annotate panel shows for whole slides: at which resolution they are painted, and how to take paint away."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_medseg.data.slide_window import offered_downsamples, pixel_micrometers
from napari_medseg.io.slide.facts import OBJECTIVE
from napari_medseg.structures import NOT_LOOKED_AT, Case, Image
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.fold import Fold
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, row, words
from napari_medseg.widgets.session import Session
from napari_medseg.widgets.slide_case import SlideCase


class SlideSection(QWidget):
    """The painting window of a slide; hidden for other images.

    Parameters
    ----------
    session
        Whose case is painted.
    notice
        Where the panel tells what went wrong.
    """

    def __init__(self, session: Session, notice: Notice) -> None:
        super().__init__()
        self._session = session
        self.notice = notice
        self.fold = Fold("Painting window", opened=True)
        self.level = QComboBox()
        self.level.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.level.setObjectName("painting_level")
        self.level.activated.connect(self._choose_level)
        erase = button("Not looked at", self._take_paint_away, name="paint_not_looked_at")
        erase.setToolTip("Paint with this to say that nobody has looked here; the eraser says: looked at, background")
        self.state = words(faint=True)
        self.fold.content.addLayout(row(QLabel("Paint at"), self.level, erase, stretch=self.level))
        self.fold.content.addWidget(self.state)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.fold)
        session.case_changed.connect(self._show_case)
        session.saved.connect(self._show_level)
        self._show_case(session.case)

    def _show_case(self, case: Case | None) -> None:
        slide = self._slide()
        self.setVisible(slide is not None)
        if slide is not None:
            slide.window.opened.connect(self._show_state)
            self._show_level()
            self._show_state()

    def _show_level(self) -> None:
        """List the resolutions that can be chosen: one where something is painted already."""
        slide = self._slide()
        if slide is None:
            return
        now, image = slide.store.downsample, slide.image
        is_fixed = slide.is_looked_at()
        self.level.clear()
        for downsample in (now,) if is_fixed else sorted({now, *offered_downsamples(image.spatial_shape)}):
            self.level.addItem(level_text(image, downsample), downsample)
        self.level.setCurrentIndex(self.level.findData(now))
        self.level.setEnabled(not is_fixed)
        fixed = "Fixed, because something is painted at this size of pixels"
        chosen = "Size of the pixels that are painted, fixed by the first stroke; finer ones make a smaller window"
        self.level.setToolTip(fixed if is_fixed else chosen)

    def _show_state(self) -> None:
        slide = self._slide()
        if slide is not None:
            ready = "All that is in view can be painted, anywhere on the slide."
            self.state.setText(ready if slide.window.is_open else "Zoom in to paint.")

    @shown_errors
    def _choose_level(self, index: int) -> None:
        """Begin the painting at another resolution, of this slide and of those that are opened next."""
        slide, downsample = self._slide(), self.level.itemData(index)
        if slide is None or downsample == slide.store.downsample:
            return
        self._session.painting_size = downsample * (pixel_micrometers(slide.image) or 1.0)
        case = slide.case.case
        self._session.close_case()
        self._session.open_case(case)

    @shown_errors
    def _take_paint_away(self) -> None:
        slide = self._slide()
        if slide is not None:
            slide.choose_class(NOT_LOOKED_AT)

    def _slide(self) -> SlideCase | None:
        return self._session.open if isinstance(self._session.open, SlideCase) else None


def level_text(image: Image, downsample: int) -> str:
    """A resolution for people: size of pixels and magnification where the file tells them, e.g. ``1 µm (10×)``."""
    own, power = pixel_micrometers(image), image.metadata.get(OBJECTIVE)
    text = f"1/{downsample} of the size" if own is None else f"{own * downsample:.3g} µm"
    return f"{text} ({power / downsample:.3g}×)" if power else text
