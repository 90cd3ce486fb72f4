"""Triangle meshes without pixels: topology, flattening, harmonic maps, files. A mesh format is a file of its own."""
