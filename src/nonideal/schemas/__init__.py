"""Declared tables: columns, types, units, allowed values and keys, one file per study."""
