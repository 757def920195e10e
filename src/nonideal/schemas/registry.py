"""Every declared table by its name."""

from __future__ import annotations

import pandera.pandas as pa

from nonideal.schemas import (
    capacity,
    cnn,
    crossbar,
    fpga,
    library,
    mcu,
    network_architectures,
    network_history,
    networks,
    published,
    regularised,
    spiking,
    spiking_cells,
    training,
)

MODULES = (
    capacity,
    cnn,
    crossbar,
    fpga,
    library,
    mcu,
    network_architectures,
    network_history,
    networks,
    published,
    regularised,
    spiking,
    spiking_cells,
    training,
)
TABLES: dict[str, pa.DataFrameSchema] = {
    schema.name: schema
    for module in MODULES
    for schema in vars(module).values()
    if isinstance(schema, pa.DataFrameSchema)
}


def declared(name: str) -> pa.DataFrameSchema:
    """Schema of a table.

    Raises
    ------
    KeyError
        If no table of that name is declared; the message lists those that are.
    """
    if name not in TABLES:
        raise KeyError(f"no table named {name!r} is declared; declared are: {', '.join(sorted(TABLES))}")
    return TABLES[name]
