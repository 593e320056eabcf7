"""seglib: the PyTorch core of segtune. Knows nothing of Ray, Optuna, W&B or YAML.

Importing this package loads no torch; import the room that is needed, for
example ``from seglib.recipe import Recipe`` or ``from seglib.fit import fit``.
"""
