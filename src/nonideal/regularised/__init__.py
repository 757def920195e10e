"""Regularised training for quantisation, faults and variability.

After Biswas et al. 2025, "Regularization-based framework for quantization-, fault- and variability-aware
training" (arXiv:2503.01297). `penalty` is what is added to the loss and when, `networks` puts quantisers on a
network, `job` opens a job, `study` and `cell_study` run the experiments, `analysis` summarises them,
`bitserial` computes with integers, `harden` does all of it for a network of yours.
"""
