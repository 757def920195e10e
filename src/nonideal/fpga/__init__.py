"""Dense spiking layers as hardware: RTL, its simulation against the integers, synthesis for iCE40."""
