"""tune: the search around seglib. In code, Ray's is ``from ray import tune as ray_tune``."""
