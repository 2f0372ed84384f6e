"""Metrics on raw scores, the calibration from held-out normal images, figures and the report. Imports nothing."""
