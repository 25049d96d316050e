"""Networks, one architecture a module: torch modules with diffusers' habits that know no CRS or dates; `loading` alone reads files."""
