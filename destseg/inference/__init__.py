"""Scoring photographs with a trained model, and the files that other programs score with."""
