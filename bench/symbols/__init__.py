"""What names and lines cost."""
