"""The UV grid: which triangle each texel shows, parameters to maps, masks, mirrors, labels that move."""
