"""The panels inside napari; the only part of this package that knows Qt."""
