"""Images: array and geometry, every file format, DICOM, orientation, resampling, provenance, pictures."""
