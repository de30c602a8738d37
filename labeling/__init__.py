"""The workshop: queues, items, labels, reference set."""
