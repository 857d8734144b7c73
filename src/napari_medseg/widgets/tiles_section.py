"""What the Annotate panel shows for tags of tiles on whole slides: on or off, the tag, the size of tiles, counts."""

from __future__ import annotations

import dataclasses

from qtpy.QtWidgets import QLineEdit, QVBoxLayout, QWidget

from napari_medseg.data.tile_grid import USUAL_SIDE, side_in_pixels
from napari_medseg.structures import Case
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.fold import Fold
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, row, words
from napari_medseg.widgets.session import Session
from napari_medseg.widgets.slide_case import SlideCase
from napari_medseg.widgets.tile_tagging import TileTagging


class TilesSection(QWidget):
    """Tags of tiles of a slide; hidden for other images.

    Parameters
    ----------
    session
        Whose case is tagged.
    notice
        Where the panel tells what went wrong.
    """

    def __init__(self, session: Session, notice: Notice) -> None:
        super().__init__()
        self._session = session
        self.notice = notice
        self.fold = Fold("Tile tags")
        self.switch = button("Tag tiles", self._switch, name="tag_tiles")
        self.switch.setCheckable(True)
        self.switch.setToolTip(
            "Alt+T: click or drag over tiles to give them the tag that the tag keys choose, or to take it away where "
            "they have it"
        )
        self.side = QLineEdit()
        self.side.setObjectName("tile_side")
        self.side.setPlaceholderText(USUAL_SIDE)
        self.side.setToolTip("Side of a tile, e.g. 256 µm or 512 px, for all slides of the data set")
        self.side.setMaximumWidth(90)
        self.side.editingFinished.connect(self._set_side)
        self.state = words(faint=True)
        self.fold.content.addLayout(row(self.switch, self.side, stretch=self.switch))
        self.fold.content.addWidget(self.state)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.fold)
        session.case_changed.connect(self._show_case)
        self._show_case(session.case)

    @property
    def trouble(self) -> str:
        """Why the tags of the case could not be read; empty otherwise."""
        slide = slide_of(self._session)
        return "" if slide is None else slide.tiles.trouble

    def _show_case(self, case: Case | None) -> None:
        del case
        slide = slide_of(self._session)
        self.setVisible(slide is not None)
        if slide is None:
            return
        tagging = slide.tiles
        tagging.changed.connect(self._show)
        tagging.failed.connect(self.notice.show_error)
        self.side.setText(slide.dataset.info.tile)
        self.fold.set_open(self.fold.is_open() or bool(tagging.counts()))
        self._show()

    def _show(self) -> None:
        slide = slide_of(self._session)
        if slide is None:
            return
        tagging, counts = slide.tiles, slide.tiles.counts()
        self.switch.setChecked(tagging.is_in_hand)
        self.switch.setText(f"Tag tiles: {tagging.chosen}" if tagging.chosen else "Tag tiles")
        self.side.setEnabled(not counts)
        known = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        self.state.setText(known or f"No tile is tagged; tiles are {tagging.grid.side:,} pixels wide here.")

    @shown_errors
    def _switch(self) -> None:
        switch_tiles(self._session)
        self._show()

    @shown_errors
    def _set_side(self) -> None:
        slide = slide_of(self._session)
        side = self.side.text().strip()
        if slide is None or side == slide.dataset.info.tile:
            return
        try:
            side_in_pixels(side, None)
            slide.tiles.set_side(side)
        except Exception:
            self.side.setText(slide.dataset.info.tile)
            raise
        slide.dataset.set_info(dataclasses.replace(slide.dataset.info, tile=side))
        self._session.dataset_changed.emit(slide.dataset)
        self._show()


def slide_of(session: Session) -> SlideCase | None:
    """The whole slide on screen; None for any other case."""
    return session.open if isinstance(session.open, SlideCase) else None


def switch_tiles(session: Session) -> None:
    """Tag tiles of the slide on screen, or draw on it again; raises `AnnotationError` where there is no tag."""
    slide = slide_of(session)
    if slide is None:
        return
    if slide.tiles.is_in_hand:
        session.viewer.layers.selection.active = slide.labels
    else:
        slide.tiles.start()


def tagging_in_hand(session: Session) -> TileTagging | None:
    """The tagging of tiles, while it is what the mouse does."""
    slide = slide_of(session)
    return slide.tiles if slide is not None and slide.tiles.is_in_hand else None
