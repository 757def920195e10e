"""Weight quantisation: fixed grids (`formats`) and the choice of their scale (`clipping`)."""
