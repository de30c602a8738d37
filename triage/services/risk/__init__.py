"""Hosts at risk: scores come in, nights close days, alerts become items, labels act on the next night."""
