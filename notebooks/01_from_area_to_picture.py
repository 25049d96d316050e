# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From an area to a picture
#
# An area and a wish become a georeferenced, synthetic satellite image. The model that comes with rsgeo, `rsgeo-mini`, does the painting:
# no download, no GPU. The whole notebook takes a minute or two on a laptop.
#
# None of the pictures below shows the ground.

# %%
import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import rioxarray

import rsgeo
from rsgeo.errors import RsgeoWarning

# %% [markdown]
# ## An area
#
# Any polygon will do: a file (GeoJSON, GeoPackage, Shapefile, KML and others), a shapely geometry, a geopandas object, or GeoJSON as
# Python values, as here. Without `out` the picture stays in memory.

# %%
area = {"type": "Polygon", "coordinates": [[[5.985, 50.100], [5.995, 50.099], [5.997, 50.104], [5.990, 50.106], [5.985, 50.100]]]}

result = rsgeo.generate(aoi=area, prompt="meadows and a small river", seed=7)
print(result.pixels.shape, result.pixels.dtype)
print(f"EPSG:{result.geobox.crs.epsg}, {result.geobox.resolution.x:g} m")

# %% [markdown]
# The grid is in the UTM zone of the area's centre and at 10 m, the model's own ground sample distance, as nothing else was said. Pixels are
# (band, row, column); the mask says which of them lie in the area.


# %%
def rgba(result):
    """Pixels for matplotlib, transparent outside of the area."""
    return np.dstack([*result.pixels, np.where(result.mask, 255, 0)]).astype(np.uint8)


left, bottom, right, top = result.geobox.extent.boundingbox
figure, axes = plt.subplots(figsize=(5, 4), layout="constrained")
axes.imshow(rgba(result), extent=(left, right, bottom, top))
axes.set(title="synthetic", xlabel="easting [m]", ylabel="northing [m]")
axes.ticklabel_format(style="plain", useOffset=False)
axes.tick_params(axis="x", rotation=30)
plt.show()

# %% [markdown]
# ## A file
#
# With `out` the same picture is written as a Cloud Optimized GeoTIFF. Any program that reads GeoTIFFs can use it, xarray too.

# %%
path = Path(tempfile.mkdtemp()) / "meadows.tif"
rsgeo.generate(path, aoi=area, prompt="meadows and a small river", seed=7)

image = rioxarray.open_rasterio(path, masked=True)
print(image.rio.crs, image.shape, image.long_name)
print("the same pixels:", np.array_equal(image.fillna(0).astype(np.uint8), result.pixels))

# %%
in_degrees = image.rio.reproject("EPSG:4326")
figure, axes = plt.subplots(figsize=(5, 4), layout="constrained")
(in_degrees / 255).plot.imshow(ax=axes, rgb="band")
axes.set_title("the file, in degrees")
axes.ticklabel_format(useOffset=False)
plt.show()

# %% [markdown]
# The file says that it is synthetic, and how to make it again.

# %%
print("synthetic:", rsgeo.describe(path).synthetic)
print("as it was written:", rsgeo.verify(path).good)

again = rsgeo.generate(from_file=path)
print("the same pixels:", np.array_equal(again.pixels, result.pixels))

# %% [markdown]
# ## What each condition does
#
# One wish, and in each row one thing changed. Place and ground sample distance are not typed as conditions: they follow from where the area
# lies and how fine its grid is, and every window of a large area has its own.

# %%
LIEGE, SIDE = (5.6, 50.6), 64


def paint(prompt="a village among fields", seed=0, gsd=10, place=LIEGE):
    """A square of about SIDE pixels round a place (longitude, latitude)."""
    lon, lat = place
    north = gsd * SIDE / 2 / 111_000
    east = north / np.cos(np.radians(lat))
    return rsgeo.generate(bounds=(lon - east, lat - north, lon + east, lat + north), prompt=prompt, seed=seed, gsd=str(gsd))


rows = {
    "prompt": ["a forest", "a river", "houses with gardens", "a factory"],
    "seed": [1, 2, 3, 4],
    "gsd": [0.6, 3, 10, 20],
    "place": {"Ireland": (-8.0, 53.0), "Andalusia": (-4.8, 37.6), "Finland": (26.0, 62.0), "Po plain": (10.5, 45.1)},
}

figure, grid = plt.subplots(len(rows), 4, figsize=(8, 9), layout="constrained")
for axes_of_row, (name, values) in zip(grid, rows.items(), strict=True):
    for axes, value in zip(axes_of_row, values, strict=True):
        axes.imshow(rgba(paint(**{name: values[value] if isinstance(values, dict) else value})))
        axes.set_title(f"{name}: {value}" + (" m" if name == "gsd" else ""), fontsize=9)
        axes.axis("off")
plt.show()

# %% [markdown]
# ## Date and cloud cover do nothing yet
#
# No training data taught `rsgeo-mini` what a season or a cloud is. It takes both, stores them in the request, and says that it does not
# see them. The pixels are the same.

# %%
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", RsgeoWarning)
    winter = rsgeo.generate(aoi=area, prompt="meadows and a small river", seed=7, date="2021-01-15", cloud_cover=60)

for warning in caught:
    print(warning.message)
print("stored:", winter.request.scene.date.value, winter.request.scene.cloud_cover_percent.value)
print("the same pixels:", np.array_equal(winter.pixels, result.pixels))
