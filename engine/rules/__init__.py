"""One file for each transaction family: its commands and its rule."""
