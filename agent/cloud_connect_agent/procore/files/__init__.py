"""Files: where their bytes may come from and go to, and how they get there and back."""
