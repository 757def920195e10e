"""Adapter of rule fpga_tools: the synthesis tools translated to machine code once, their versions noted."""

import json

from adapter import start

start(snakemake)

from nonideal.files import write_text
from nonideal.fpga import tools

tools.cache()
write_text(snakemake.output[0], json.dumps(tools.versions(), indent=1, sort_keys=True) + "\n")
