"""What reading cores costs."""
