"""The Workspace: tabs made when they are shown, and nothing heavy imported by looking."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from napari._app_model.constants._menus import is_menu_contributable
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_medseg.widgets.workspace import PANELS, Workspace

pytestmark = pytest.mark.viewer

OPEN_ALL = """
import sys, json
import napari
from napari_medseg.widgets.workspace import PANELS
viewer = napari.Viewer(show_welcome_screen=False)
for name in ("Workspace", *PANELS):
    viewer.window.add_plugin_dock_widget("napari-medseg", name)
heavy = ("torch", "torchvision", "segmentation_models_pytorch", "timm", "triton")
print(json.dumps([m for m in heavy if m in sys.modules]))
viewer.close()
"""


def test_opening_every_widget_imports_no_torch():
    done = subprocess.run([sys.executable, "-c", OPEN_ALL], capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_tabs_are_made_when_shown_and_share_one_session(make_napari_viewer):
    viewer = make_napari_viewer()
    workspace = Workspace(viewer)
    viewer.window.add_dock_widget(workspace, area="right")
    assert [workspace.tabs.tabText(i) for i in range(workspace.tabs.count())] == list(PANELS)
    assert set(workspace._panels) == {"Cases"}
    workspace.session.show_panel("Annotate")
    assert workspace.tabs.tabText(workspace.tabs.currentIndex()) == "Annotate"
    assert workspace.panel("Annotate").session is workspace.panel("Cases").session


def test_primary_buttons_are_in_sight_on_a_small_screen(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1366, 768)
    workspace = Workspace(viewer)
    viewer.window.add_dock_widget(workspace, area="right")
    for name in PANELS:
        workspace.show_panel(name)
        qtbot.wait(30)
        assert workspace.panel(name).minimumSizeHint().width() <= 420, name
        bottom = workspace.mapTo(viewer.window._qt_window, workspace.rect().bottomLeft()).y()
        assert bottom <= 768, name


def test_menu_entries_stand_where_napari_shows_them():
    import napari_medseg

    manifest = yaml.safe_load((Path(napari_medseg.__file__).parent / "napari.yaml").read_text("utf-8"))
    menus = manifest["contributions"]["menus"]
    own = {submenu["id"] for submenu in manifest["contributions"].get("submenus", [])}
    # Any other id would be dropped without a word.
    assert [menu for menu in menus if menu not in own and not is_menu_contributable(menu)] == []


@pytest.mark.viewer
def test_an_error_is_shown_once(make_napari_viewer, qtbot):
    from napari.utils.notifications import notification_manager

    from napari_medseg.widgets.notice import Notice

    viewer, panel, notice = make_napari_viewer(show=True), QWidget(), Notice()
    QVBoxLayout(panel).addWidget(notice)
    dock = viewer.window.add_dock_widget(panel, name="Panel", area="right")
    qtbot.waitUntil(panel.isVisible, timeout=20_000)
    with notification_manager:
        notification_manager.records.clear()
        notice.show_error("The disk is full.")
        assert notice.isVisible()
        assert not notification_manager.records
        dock.hide()
        notice.show_error("The disk is still full.")
        assert [record.message for record in notification_manager.records] == ["The disk is still full."]
