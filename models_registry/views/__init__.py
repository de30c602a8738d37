"""Pages and fragments for people, a module per subject."""
