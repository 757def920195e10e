"""Spiking networks: neurons, layers, integers, export and studies."""
