"""What can be learned: targets, losses, figures."""
