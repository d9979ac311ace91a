"""From frames to the object: network, stitching, metrics, training."""
