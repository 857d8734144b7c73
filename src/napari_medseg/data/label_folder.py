"""Where the label image of a case lies: as imported, or in its working form."""

from __future__ import annotations

from pathlib import Path

from napari_medseg.data import naming
from napari_medseg.data.label_layout import own_attributes
from napari_medseg.data.rows import check_label_name
from napari_medseg.errors import DatasetError
from napari_medseg.structures import Case


class LabelFolder:
    """The folder ``labels`` of a data set."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def named(self, case: Case) -> Path | None:
        """The label image that the row names, or None; it may be missing.

        Raises
        ------
        DatasetError
            The row names a file outside the folder.
        """
        if not case.label:
            return None
        try:
            check_label_name(case.label)
        except DatasetError as error:
            raise DatasetError(f"Case '{case.case}': {error}") from None
        return self.path / case.label.replace("\\", "/")

    def current(self, case: Case) -> Path | None:
        """The label image to read: the working form of this case where there is one, else what the row names.

        A program that died between drawing and noting so in the table leaves a working form that the row does not
        name yet; it counts when it began from what the row names.
        """
        named = self.named(case)
        if named is not None and named.suffix == ".zarr":
            return named
        working = self._default(case)
        noted = own_attributes(working)
        if noted.get("case") == case.case and noted.get("from", "") in ("", case.label):
            return working
        return named

    def to_draw(self, case: Case) -> tuple[Path, Path | None]:
        """The working form, which may not exist yet, and the imported image that it begins from, if any."""
        named = self.named(case)
        current = self.current(case)
        if current is not None and (current / "zarr.json").exists():
            return current, named if named is not None and named != current and named.exists() else None
        working = self._default(case)
        if working.exists():
            working = naming.free_path(self.path, case.case, ".zarr")
        return working, named if named is not None and named.exists() else None

    def of(self, case: Case) -> list[Path]:
        """Every label image of a case that exists."""
        return sorted({path for path in (self.named(case), self.current(case)) if path is not None and path.exists()})

    def _default(self, case: Case) -> Path:
        return self.path / f"{naming.file_name(case.case)}.zarr"
