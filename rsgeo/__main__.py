"""``python -m rsgeo`` is the command ``rsgeo``."""

from rsgeo.cli import main

if __name__ == "__main__":
    main()
