"""Long work and the clock."""
