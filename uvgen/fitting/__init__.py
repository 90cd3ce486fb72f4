"""A morphable model fitted to pictures: parameters and pose from landmarks, and landmarks from detectors.

`landmarks` fits the model, `contour` knows where faces end in pictures. The room stands on `maps` and `models`.
"""
