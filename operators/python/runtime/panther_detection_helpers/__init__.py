"""Helpers that detections import: the cache."""
