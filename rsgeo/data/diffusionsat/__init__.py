"""The data sets that DiffusionSat was trained on, sample by sample, with its captions and its numbers (Khanna et al. 2024, section 4 and appendix).

Each adapter is a function of one shape, `example.Adapter`: a sample of a shard, the side of the picture and a source of chance become an `Example`:
caption, scene, picture, and for the conditional tasks the views that condition it. `rsgeo.encoding.diffusionsat` turns the scenes into the numbers
that the published networks saw. Oddities of captions and bands are kept where published weights learned them; each is named where it stands.
"""
