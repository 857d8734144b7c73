"""What to train, on what, and how: scheme, data check and settings, before a training starts."""

from __future__ import annotations

from qtpy.QtCore import QEvent, Qt, QTimer, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_medseg.schemes import SCHEMES, Scheme, SchemeConfig, build_config
from napari_medseg.structures import DatasetInfo, Progress
from napari_medseg.widgets.check_view import CheckView
from napari_medseg.widgets.data_check import DataCheck, check_data
from napari_medseg.widgets.editors import CalmComboBox
from napari_medseg.widgets.estimate_row import EstimateRow
from napari_medseg.widgets.form import SettingsForm
from napari_medseg.widgets.jobs import ThreadJob
from napari_medseg.widgets.look import SentenceLabel
from napari_medseg.widgets.session import Session
from napari_medseg.widgets.start_options import StartOptions

#: Quiet time after an edit before the data are checked again.
CHECK_DELAY_MS = 400
#: Scheme that is proposed for a kind of images, where nobody drew layers or gave grades.
_SCHEME_OF_KIND = {"oct": "oct", "ct": "boosting", "mr": "boosting"}
#: Entry of the profile list that means the scheme's own figures.
FULL_PROFILE = "full"


class TrainSetup(QWidget):
    """Chooses a scheme and its settings, and keeps the data check up to date while it is on screen.

    Parameters
    ----------
    session
        Whose data set is checked.
    """

    #: The choice or the finding changed: ask `is_ready` again.
    changed = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._form: SettingsForm[SchemeConfig] | None = None
        self._job: ThreadJob | None = None
        self._stale = True
        #: Whether a person chose the scheme.
        self._is_chosen = False
        self._dataset_path = None if session.dataset is None else session.dataset.home
        self.found: DataCheck | None = None
        self._scheme_box, self._profile_box = CalmComboBox(), CalmComboBox()
        self._summary = QLabel()
        self._summary.setWordWrap(True)
        self._drafts = QCheckBox("Use drafts too")
        self._drafts.setToolTip("Also train on labels that nobody has marked as done, accepted proposals among them.")
        self.check_view = CheckView()
        self.estimate = EstimateRow()
        self._check_fault = SentenceLabel()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(CHECK_DELAY_MS)
        self._build()
        self._connect()
        self._choose_scheme()
        self._propose_scheme()

    @property
    def scheme(self) -> Scheme:
        """The chosen scheme."""
        return SCHEMES[self._scheme_box.currentData()]

    @property
    def form(self) -> SettingsForm[SchemeConfig]:
        """The form of the chosen scheme's settings."""
        assert self._form is not None
        return self._form

    @property
    def include_drafts(self) -> bool:
        """Whether drafts are trained on."""
        return self._drafts.isChecked()

    def config(self) -> SchemeConfig:
        """The settings as edited; raises `ConfigError` when a field is wrong."""
        return self.form.settings()

    def is_ready(self) -> bool:
        """Whether a training can start: a data set, sound settings, and nothing found that forbids it."""
        return (
            self._session.dataset is not None and not self.form.fault() and (self.found is None or self.found.can_train)
        )

    def choose(self, scheme: str, profile: str | None = None) -> None:
        """Choose a scheme by its key, and one of its profiles."""
        self._is_chosen = True
        self._scheme_box.setCurrentIndex(self._scheme_box.findData(scheme))
        if profile is not None:
            self._profile_box.setCurrentIndex(self._profile_box.findData(profile))

    def _build(self) -> None:
        for key, scheme in SCHEMES.items():
            self._scheme_box.addItem(scheme.title, key)
            self._scheme_box.setItemData(self._scheme_box.count() - 1, scheme.summary, Qt.ItemDataRole.ToolTipRole)
        self._scheme_box.setObjectName("scheme")
        self._profile_box.setObjectName("profile")
        grid = QGridLayout()
        grid.setColumnStretch(1, 1)
        for row, (name, box) in enumerate((("Scheme", self._scheme_box), ("Profile", self._profile_box))):
            label = QLabel(name)
            label.setBuddy(box)
            grid.addWidget(label, row, 0)
            grid.addWidget(box, row, 1)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.addLayout(grid)
        self.start_options = StartOptions()
        shown = (self._summary, self.check_view, self._check_fault, self.estimate, self._drafts, self.start_options)
        for widget in shown:
            self._layout.addWidget(widget)

    def _connect(self) -> None:
        self._scheme_box.currentIndexChanged.connect(self._choose_scheme)
        self._scheme_box.activated.connect(self._keep_scheme)
        self._profile_box.currentIndexChanged.connect(self._choose_profile)
        self._drafts.toggled.connect(self._need_check)
        self._session.dataset_changed.connect(self._on_dataset)
        self._session.cases_changed.connect(self._need_check)
        self._timer.timeout.connect(self._check)
        self.estimate.wanted.connect(self._measure)
        self.estimate.failed.connect(lambda text, _: self._on_fault(text))

    def _choose_scheme(self) -> None:
        """Show another scheme's profiles and settings."""
        if self._form is not None:
            self._layout.removeWidget(self._form)
            # Deleted when Qt comes to it; until then it must not lie over the new one.
            self._form.setVisible(False)
            self._form.deleteLater()
        scheme = self.scheme
        self._summary.setText(scheme.summary)
        # A narrow panel cuts long titles off.
        self._scheme_box.setToolTip(scheme.title)
        self._form = SettingsForm(scheme.config_type)
        self._form.changed.connect(self._need_check)
        self._layout.addWidget(self._form)
        self._profile_box.blockSignals(True)
        self._profile_box.clear()
        for name in (FULL_PROFILE, *scheme.profiles):
            self._profile_box.addItem(name, name)
        self._profile_box.setCurrentIndex(
            self._profile_box.findData("cpu" if "cpu" in scheme.profiles else FULL_PROFILE)
        )
        self._profile_box.blockSignals(False)
        self._choose_profile()

    def _choose_profile(self) -> None:
        name = self._profile_box.currentData()
        self.form.set_settings(build_config(self.scheme, profile=None if name == FULL_PROFILE else name))

    def _keep_scheme(self) -> None:
        """Leave the scheme alone while this data set is open: a person chose it."""
        self._is_chosen = True

    def _propose_scheme(self) -> None:
        """Choose the scheme that suits the data set's kind, once for each data set."""
        dataset = self._session.dataset
        if dataset is None or self._is_chosen:
            return
        proposed = scheme_for(dataset.info)
        if proposed in SCHEMES:
            self._scheme_box.setCurrentIndex(self._scheme_box.findData(proposed))

    def _on_dataset(self) -> None:
        path = None if self._session.dataset is None else self._session.dataset.home
        if path != self._dataset_path:
            self._is_chosen = False
        self._dataset_path = path
        self._propose_scheme()
        self._forget_finding()

    def _forget_finding(self) -> None:
        self.found = None
        self.check_view.show_waiting("")
        self._need_check()

    def _measure(self) -> None:
        if self._session.dataset is not None and self.is_ready():
            folder = self._session.dataset.home
            self.estimate.measure(self.scheme.key, folder, self.config(), drafts=self.include_drafts)

    def _need_check(self) -> None:
        self._stale = True
        self.estimate.forget()
        self.estimate.setEnabled(False)
        if self.isVisible():
            self._timer.start()
        self.changed.emit()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Check what changed while the panel was hidden (Qt's hook)."""
        super().showEvent(event)
        if self._stale:
            self._timer.start()

    def changeEvent(self, event: QEvent | None) -> None:
        """Check again when the panel is usable again after a training (Qt's hook)."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.EnabledChange and self.isEnabled() and self._stale:
            self._timer.start()

    def _check(self) -> None:
        """Start a check, unless one runs: it is followed by another when something changed meanwhile."""
        dataset = self._session.dataset
        if self._job is not None or dataset is None or self.form.fault():
            return
        self._stale = False
        folder, scheme, config, drafts = dataset.home, self.scheme, self.config(), self.include_drafts
        self.check_view.show_waiting("Checking the data …")

        def work(progress: Progress) -> DataCheck:
            return check_data(folder, scheme, config, include_drafts=drafts, progress=progress)

        self._job = ThreadJob(work)
        self._job.end_with(self)
        self._job.result.connect(self._on_found)
        self._job.failed.connect(lambda text, _: self._on_fault(text))
        self._job.finished.connect(self._on_finished)
        self._job.start()

    def _on_found(self, found: DataCheck) -> None:
        self._check_fault.say("error", "")
        self.found = found
        self.check_view.show_check(found)
        self.estimate.setEnabled(found.can_train)
        self.changed.emit()

    def _on_fault(self, text: str) -> None:
        self.check_view.show_waiting("")
        self._check_fault.say("error", text)

    def _on_finished(self, _: str) -> None:
        self._job = None
        if self._stale and self.isVisible():
            self._timer.start()


def scheme_for(info: DatasetInfo) -> str:
    """Key of the scheme that suits a data set by what it declares: layers, grades, else by the kind of its images.

    >>> scheme_for(DatasetInfo(name="a", kind="oct")), scheme_for(DatasetInfo(name="b", kind="ct", grades=("0", "1")))
    ('oct', 'fibrosis')
    """
    if info.surfaces:
        return "oct"
    return "fibrosis" if info.grades else _SCHEME_OF_KIND.get(info.kind, "pathology")
