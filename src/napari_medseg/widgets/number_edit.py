"""A spin box that shows numbers exactly.

Qt's own `QDoubleSpinBox` rounds to a fixed number of decimals (a learning rate of 1e-3 becomes 0.00), and `QSpinBox`
ends at 32 bits. This one holds text: the shortest that reads back as the same number.
"""

from __future__ import annotations

import math
from decimal import Decimal

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QValidator, QWheelEvent
from qtpy.QtWidgets import QAbstractSpinBox, QLineEdit, QWidget


class NumberEdit(QAbstractSpinBox):
    """Edit a whole or real number; what is typed is kept as typed, also when it is wrong.

    Arrow keys move whole numbers by 1 and real numbers by their second digit (0.001 to 0.0011), Page Up and Page Down
    by ten times that; a step never leaves the limits.

    Parameters
    ----------
    kind
        int or float.
    minimum, maximum
        Limits of steps; None where there is none.
    optional
        Whether empty text means None.
    """

    changed = Signal()

    def __init__(
        self,
        kind: type[int] | type[float],
        *,
        minimum: float | None = None,
        maximum: float | None = None,
        optional: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._kind, self._minimum, self._maximum, self._optional = kind, minimum, maximum, optional
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        edit = QLineEdit()
        self.setLineEdit(edit)
        self._edit = edit
        self._edit.setPlaceholderText("automatic" if optional else "")
        self._edit.textChanged.connect(self.changed)

    def number(self) -> int | float | None:
        """The number as typed; a decimal comma is understood.

        Raises
        ------
        ValueError
            The text is no number of this kind.
        """
        text = self._edit.text().strip()
        if not text and self._optional:
            return None
        try:
            return self._kind(text if self._kind is int else text.replace(",", "."))
        except ValueError:
            noun = "a whole number" if self._kind is int else "a number"
            raise ValueError(f"'{text}' is not {noun}" if text else f"Enter {noun}") from None

    def set_number(self, value: int | float | None) -> None:
        """Show a number, or nothing for None."""
        self._edit.setText("" if value is None else repr(self._kind(value)))
        self._edit.setCursorPosition(0)

    def stepBy(self, steps: int) -> None:
        """Move by `steps` steps; empty or wrong text starts at the lower limit (Qt's hook)."""
        try:
            value = self.number()
        except ValueError:
            value = None
        if value is None:
            self.set_number(self._minimum or 0)
            return
        moved = self._moved(value, steps)
        if moved is not None:
            self.set_number(moved)
        self.selectAll()

    def _moved(self, value: int | float, steps: int) -> int | float | None:
        """The number `steps` further, cut to the limits; None where it cannot move."""
        if isinstance(value, int):
            moved: int | float = value + steps
        elif math.isfinite(value):
            exact = Decimal(repr(value))
            # Zero has no digits; 0.01 suits the shares and strengths that start at zero.
            size = Decimal(1).scaleb(exact.adjusted() - 1) if exact else Decimal("0.01")
            moved = float(exact + steps * size)
        else:
            return None
        if self._minimum is not None:
            moved = max(moved, self._kind(self._minimum))
        if self._maximum is not None:
            moved = min(moved, self._kind(self._maximum))
        return moved

    def stepEnabled(self) -> QAbstractSpinBox.StepEnabledFlag:
        """Both ways, always (Qt's hook)."""
        flags = QAbstractSpinBox.StepEnabledFlag
        return flags.StepUpEnabled | flags.StepDownEnabled

    def validate(self, text: str | None, position: int) -> tuple[QValidator.State, str, int]:
        """Let everything be typed: the form says what is wrong, beside the field (Qt's hook)."""
        return QValidator.State.Acceptable, text or "", position

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Scroll the panel, not the number, unless the number has the focus (Qt's hook)."""
        if event is not None and not self.hasFocus():
            event.ignore()
        else:
            super().wheelEvent(event)
