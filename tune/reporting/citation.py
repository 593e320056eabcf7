"""Citation: BibTeX of this software and of the methods that a search used."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from tune.reporting.evidence import RunData

__all__ = ["cite"]

_SEGTUNE = """\
@software{{segtune,
  title   = {{segtune: hyperparameter search for 2-D medical image segmentation}},
  author  = {{{{The segtune developers}}}},
  version = {{{version}}},
  year    = {{2026}}
}}"""
_METHODS = {
    "unet": """\
@inproceedings{ronneberger2015unet,
  title     = {{U-Net}: Convolutional Networks for Biomedical Image Segmentation},
  author    = {Ronneberger, Olaf and Fischer, Philipp and Brox, Thomas},
  booktitle = {Medical Image Computing and Computer-Assisted Intervention (MICCAI)},
  pages     = {234--241},
  year      = {2015}
}""",
    "optuna": """\
@inproceedings{akiba2019optuna,
  title     = {Optuna: A Next-generation Hyperparameter Optimization Framework},
  author    = {Akiba, Takuya and Sano, Shotaro and Yanase, Toshihiko and Ohta, Takeru and
               Koyama, Masanori},
  booktitle = {Proceedings of the 25th ACM SIGKDD International Conference on Knowledge
               Discovery and Data Mining},
  pages     = {2623--2631},
  year      = {2019}
}""",
    "ray": """\
@article{liaw2018tune,
  title   = {Tune: A Research Platform for Distributed Model Selection and Training},
  author  = {Liaw, Richard and Liang, Eric and Nishihara, Robert and Moritz, Philipp and
             Gonzalez, Joseph E. and Stoica, Ion},
  journal = {arXiv preprint arXiv:1807.05118},
  year    = {2018}
}""",
    "bayes": """\
@inproceedings{bergstra2011algorithms,
  title     = {Algorithms for Hyper-Parameter Optimization},
  author    = {Bergstra, James and Bardenet, R{\\'e}mi and Bengio, Yoshua and
               K{\\'e}gl, Bal{\\'a}zs},
  booktitle = {Advances in Neural Information Processing Systems 24},
  year      = {2011}
}""",
    "asha": """\
@inproceedings{li2020system,
  title     = {A System for Massively Parallel Hyperparameter Tuning},
  author    = {Li, Liam and Jamieson, Kevin and Rostamizadeh, Afshin and Gonina, Ekaterina and
               Ben-tzur, Jonathan and Hardt, Moritz and Recht, Benjamin and Talwalkar, Ameet},
  booktitle = {Proceedings of Machine Learning and Systems},
  volume    = {2},
  pages     = {230--246},
  year      = {2020}
}""",
    "hyperband": """\
@article{li2018hyperband,
  title   = {Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization},
  author  = {Li, Lisha and Jamieson, Kevin and DeSalvo, Giulia and Rostamizadeh, Afshin and
             Talwalkar, Ameet},
  journal = {Journal of Machine Learning Research},
  volume  = {18},
  number  = {185},
  pages   = {1--52},
  year    = {2018}
}""",
    "importance": """\
@inproceedings{watanabe2023pedanova,
  title     = {{PED-ANOVA}: Efficiently Quantifying Hyperparameter Importance in Arbitrary
               Subspaces},
  author    = {Watanabe, Shuhei and Bansal, Archit and Hutter, Frank},
  booktitle = {Proceedings of the 32nd International Joint Conference on Artificial
               Intelligence},
  pages     = {4389--4396},
  year      = {2023}
}""",
}


def cite(runs: Sequence[RunData], *, importance: bool) -> str:
    """Entries for what these runs used.

    Args:
        runs: All runs of a report.
        importance: Does the report rank parameters?

    Returns:
        BibTeX.
    """
    used = ["optuna", "ray"]
    recipes = [point.recipe for run in runs for point in run.points]
    if any(recipe.get("architecture", "unet") == "unet" for recipe in recipes):
        used.insert(0, "unet")
    used += ["bayes"] * any(run.study.method == "bayes" for run in runs)
    rules = {run.study.early_terminate.type for run in runs}
    used += [rule for rule in ("asha", "hyperband") if rule in rules]
    used += ["importance"] * importance
    return "\n\n".join([_SEGTUNE.format(version=version("segtune")), *(_METHODS[u] for u in used)])
