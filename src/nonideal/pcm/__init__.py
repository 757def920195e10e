"""Phase-change memory: device statistics, weight slicing and the crossbar Monte Carlo."""
