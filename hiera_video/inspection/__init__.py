"""Looking at videos before anything is trained on them."""
