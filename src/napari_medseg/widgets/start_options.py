"""What a training starts from, for those who want to choose: the seed, and a model whose networks are taken."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QGridLayout, QLabel, QLineEdit, QWidget

from napari_medseg.errors import ConfigError
from napari_medseg.widgets.fold import Fold
from napari_medseg.widgets.number_edit import NumberEdit
from napari_medseg.widgets.parts import button, row


class StartOptions(Fold):
    """A fold with a seed and a model file; both may stay empty."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("More", parent=parent)
        self._seed = NumberEdit(int, minimum=0, optional=True)
        self._seed.setObjectName("seed")
        self._seed.setToolTip("Every random choice follows from it: the same seed gives the same run. Empty: 0.")
        self._model = QLineEdit()
        self._model.setObjectName("init_model")
        self._model.setPlaceholderText("random weights")
        self._model.setToolTip("A model file of the same scheme and network; the first stages start from its weights.")
        browse = button("File …", self._ask, tip="Choose a model file", name="browse_init")
        grid = QGridLayout()
        grid.setColumnStretch(1, 1)
        for place, (name, editor) in enumerate((("Seed", self._seed), ("Start from", self._model))):
            label = QLabel(name)
            label.setBuddy(editor)
            label.setMinimumWidth(106)
            grid.addWidget(label, place, 0)
        grid.addWidget(self._seed, 0, 1)
        grid.addLayout(row(self._model, browse, stretch=self._model), 1, 1)
        self.content.addLayout(grid)

    def arguments(self) -> list[str]:
        """The options of ``napari-medseg train`` that were chosen.

        Raises
        ------
        ConfigError
            The seed is no number, or the model file does not exist.
        """
        try:
            seed = self._seed.number()
        except ValueError as error:
            raise ConfigError(f"Seed: {error}.") from None
        model = self._model.text().strip()
        if model and not Path(model).exists():
            raise ConfigError(f"Model file {model} does not exist: choose another one, or empty the field.")
        return [*(["--seed", str(seed)] if seed is not None else []), *(["--init", model] if model else [])]

    def _ask(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Start from a model file", "", "Models (*.safetensors)")
        if name:
            self._model.setText(name)
