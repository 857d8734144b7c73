"""All panels as tabs of one dock, in the order of work."""

from __future__ import annotations

from importlib import import_module

import napari
from qtpy.QtCore import QSize
from qtpy.QtWidgets import QTabWidget, QVBoxLayout, QWidget

from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.window import real_viewer

#: Name of each panel and where its class is; a panel is made when its tab is first shown.
PANELS = {
    "Open": "open_panel:OpenPanel",
    "Cases": "cases_panel:CasesPanel",
    "Annotate": "annotate_panel:AnnotatePanel",
    "Train": "train_panel:TrainPanel",
    "Predict": "predict_panel:PredictPanel",
    "Measure": "measure_panel:MeasurePanel",
    "Review": "review_panel:ReviewPanel",
}
WIDTH = 380


class Workspace(QWidget):
    """The tabs.

    Parameters
    ----------
    napari_viewer
        The viewer that the panels work on.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = real_viewer(napari_viewer)
        self.session = session_of(self.viewer)
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.setStyleSheet("QTabBar::tab { padding: 5px 4px; }")
        self._panels: dict[str, QWidget] = {}
        for name in PANELS:
            page = QWidget()
            layout = QVBoxLayout(page)
            layout.setContentsMargins(0, 0, 0, 0)
            self.tabs.addTab(page, name)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.tabs)
        self.tabs.currentChanged.connect(self._make_panel)
        self.session.panel_asked.connect(self.show_panel)
        self.show_panel("Cases")

    def sizeHint(self) -> QSize:
        """As wide as panels are made for."""
        return QSize(WIDTH, 640)

    def show_panel(self, name: str) -> None:
        """Bring a panel to the front, by its tab's name."""
        self.tabs.setCurrentIndex(list(PANELS).index(name))

    def panel(self, name: str) -> QWidget:
        """A panel by its tab's name, made if it was never shown."""
        if name not in self._panels:
            module, class_name = PANELS[name].split(":")
            panel_class = getattr(import_module(f"napari_medseg.widgets.{module}"), class_name)
            self._panels[name] = panel_class(self.viewer)
            page = self.tabs.widget(list(PANELS).index(name))
            layout = page.layout() if page is not None else None
            if layout is not None:
                layout.addWidget(self._panels[name])
        return self._panels[name]

    def _make_panel(self, index: int) -> None:
        self.panel(list(PANELS)[index])
