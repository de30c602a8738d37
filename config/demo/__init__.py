"""The demo: a house that lives by itself on one machine, on synthetic traffic."""
