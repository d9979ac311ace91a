"""The virtual microscope: light, samples, sensor, world, simulated devices."""
