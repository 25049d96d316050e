"""Where things are: areas of interest, grids, rasters, and what a file says of itself.

Coordinates are (x, y) and (lon, lat), arrays (band, y, x). Nothing here knows a model, and nothing here imports torch.
"""
