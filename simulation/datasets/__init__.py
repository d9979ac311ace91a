"""Data sets: frames simulated scan by scan, kept on disk or made as they are asked for."""
