"""Where sessions come from: one module per kind of sensor log."""
