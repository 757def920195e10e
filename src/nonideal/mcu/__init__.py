"""Low-bit networks on a microcontroller without a multiplier: integers, export, engine, emulation."""
