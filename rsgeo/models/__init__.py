"""Networks and schedulers, one architecture a module: torch modules with diffusers' habits that know no files, CRS or dates."""
