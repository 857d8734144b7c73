"""Volumes of scanners that know where in the patient they lie: DICOM series, NIfTI and NRRD.

One format per file; `space` holds the geometry that they share, `presets` the usual windows of Hounsfield units.
"""
