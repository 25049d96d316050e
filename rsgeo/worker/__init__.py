"""`rsgeo worker`: the process that another program, such as QGIS, asks for pictures: JSON lines in and out (DESIGN.md, "The worker")."""
