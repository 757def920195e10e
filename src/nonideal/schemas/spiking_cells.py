"""Tables of stuck and variable cells under spiking weights: those of regularised training."""

from __future__ import annotations

from nonideal.schemas.columns import at_least, column
from nonideal.schemas.regularised import FAULTS, METHOD, VARIABILITY, claims, pair

BITS = {"bits": column("int64", "bit cells of a weight (32: full precision)", at_least(1), unit="bit")}

NETWORKS, NETWORKS_SUMMARY = pair("spiking_regularised", METHOD | BITS)
FAULT_RUNS, FAULT_SUMMARY = pair("spiking_faults", FAULTS | BITS)
VARIABILITY_RUNS, VARIABILITY_SUMMARY = pair("spiking_variability", VARIABILITY | BITS)
CLAIMS = claims("spiking_claims")
