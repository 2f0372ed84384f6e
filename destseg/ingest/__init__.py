"""How photographs become dataset versions: a first folder by add, each later batch from the inbox."""
