"""From a model's name or path to a ready pipeline on a device: catalogue, loading, conversion; nothing is fetched without consent."""
