"""Metrics, protocols and reports over finished pictures."""
