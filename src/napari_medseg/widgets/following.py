"""Follow what other programs write into the table of the open data set: a second window, another person on a share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from napari_medseg.errors import MedsegError

if TYPE_CHECKING:
    from napari_medseg.widgets.session import Session

#: Milliseconds between two looks at the table; a look asks for the file's time alone.
_EVERY = 2000


class TableFollower(QObject):
    """Reads the table again when another program saved it, and tells every panel.

    Parameters
    ----------
    session
        Whose data set is followed.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._told = ""
        self._timer = QTimer(self)
        self._timer.setInterval(_EVERY)
        self._timer.timeout.connect(self.look)
        self._timer.start()

    def look(self) -> None:
        """Follow now."""
        dataset = self._session.dataset
        if dataset is None:
            return
        try:
            if not dataset.is_stale():
                return
            dataset.reload()
            opened = self._session.open
            if opened is not None and dataset.find(opened.case.case) is not None:
                opened.follow_row()
        except MedsegError as error:
            # A share that is away for a moment is asked again; it is said once.
            if str(error) != self._told:
                self._told = str(error)
                self._session.tell(self._told)
            return
        self._told = ""
        self._session.cases_changed.emit()
