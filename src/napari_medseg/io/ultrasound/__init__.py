"""Ultrasound frames and cines: DICOM and videos. Nothing of the patient leaves these files."""
