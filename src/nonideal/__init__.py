"""What low-bit networks survive: one set of quantisers, many kinds of imperfect hardware.

Data flows one way through the library: data, training, hardware (crossbar, faults, spikes,
microcontroller), tables, figures. A module imports nothing that lies downstream of it, and no module
knows about the workflow that calls it.
"""

__version__ = "0.1.0"
