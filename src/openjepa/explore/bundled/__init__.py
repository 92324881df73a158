"""The small models that `openjepa explore` shows when there is no run yet. make.py trained them."""
