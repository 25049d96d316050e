"""Where grids and models meet: window lattices, the world's noise, phased plans, and the engine that runs them."""
