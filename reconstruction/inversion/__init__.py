"""Inversion: the object that explains all photons of a scan, and where it cannot."""
