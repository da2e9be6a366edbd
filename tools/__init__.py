"""What the repository is kept with: `python -m tools` lists it. Nothing here is shipped."""
