"""What goes wrong in the world: killed processes, torn files, hostile bytes."""
