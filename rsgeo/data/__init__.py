"""Samples for training and evaluation: chips, captions and the published datasets."""
