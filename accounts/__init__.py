"""The porter: users, roles, audit."""
