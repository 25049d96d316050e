"""Diffusers pipelines, tensors in and tensors out, each with a `TileModel` view for the engine."""
