"""The commands for after a search: `confirm`, `retrain`, `predict`, `evaluate`, `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from tune.interruption import Interruption
from tune.surroundings import open_console
from tune.urls import choose_ledger

__all__ = ["app"]

app = typer.Typer()

Model = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", help="A model.pt, a run directory (its best trial), or a trial's folder."
    ),
]
Top = Annotated[
    int,
    typer.Option("--top", metavar="K", min=1, help="Of a run: the K best trials together."),
]
Folds = Annotated[
    bool,
    typer.Option("--folds", help="Of a confirmed run: the networks of all folds together."),
]
Flips = Annotated[
    bool,
    typer.Option("--flips", help="Average over the image and its mirror images: slower."),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder with images, if it is not where it was."),
]


@app.command()
def confirm(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory of a search.")],
    data: Data = None,
    top: Annotated[
        int | None,
        typer.Option(
            "--top", metavar="N", min=1, help="The winner and N - 1 runners-up.", show_default="3"
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", metavar="N", min=1, help="Seeds each.", show_default="3"),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option("--folds", metavar="N", min=2, help="Folds.", show_default="the study's"),
    ] = None,
    open_test: Annotated[
        bool,
        typer.Option("--open-test", help="Score the locked test part: once, and it is recorded."),
    ] = False,
    address: Annotated[
        str,
        typer.Option("--address", metavar="HOST:PORT", help="Ray cluster, or auto, or local."),
    ] = "local",
    storage: Annotated[
        str | None,
        typer.Option("--storage", metavar="URL", help="Database of the search's ledger."),
    ] = None,
) -> None:
    """Train the default, the winner and the runners-up again, over seeds and folds.

    Says whether the winner is better than the default, and by how much, or that the two
    cannot be told apart. The same command goes on where it ended; what is not given is
    as the confirmation was begun.
    """
    from tune.confirm import Wish, confirm_run
    from tune.interruption import conclude_on_signal
    from tune.picked import refuse_file

    wish = Wish(run, data, top, seeds=seeds, folds=folds, open_test=open_test, address=address,
                storage=choose_ledger(storage))  # fmt: skip
    refuse_file(run)
    raise typer.Exit(conclude_on_signal(lambda console, why: confirm_run(wish, console, why)))


@app.command()
def retrain(
    best: Annotated[
        Path, typer.Argument(metavar="BEST", help="best.yaml of a run, or the run directory.")
    ],
    data: Data = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder of run directories.",
            show_default="beside the search",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", min=1, help="Networks.")] = 3,
    address: Annotated[
        str,
        typer.Option("--address", metavar="HOST:PORT", help="Ray cluster, or auto, or local."),
    ] = "local",
) -> None:
    """Train the best recipe on training and validation part together: the final model.

    Of a confirmed run, the recipe that the confirmation says to take. One network per
    seed, after its last epoch; OUT/NAME-retrain/model.pt holds them all. The test part
    stays locked. The same command goes on where it ended.
    """
    from tune.interruption import conclude_on_signal
    from tune.retrain import Wish, retrain_best

    wish = Wish(best, data, out, seeds=seeds, address=address)
    raise typer.Exit(conclude_on_signal(lambda console, why: retrain_best(wish, console, why)))


@app.command()
def predict(
    model: Model,
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="An image, a volume, or a folder of them.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the masks.")],
    top: Top = 1,
    folds: Folds = False,
    flips: Flips = False,
) -> None:
    """Segment new images: masks with the geometry of the input and its grey values.

    PNG, TIFF, JPEG, DICOM, NIfTI, and folders in any layout that a search reads; masks that
    lie beside the images are not looked at. The same command goes on where it ended.
    """
    from tune.interruption import Interruption, conclude_on_signal
    from tune.models import Choice, find_model, require_order
    from tune.prediction import predict_files

    def act(console: Console, why: Interruption) -> int:
        require_order(source)
        chosen = find_model(Choice(model, top=top, folds=folds), console)
        predict_files(chosen, source, out, flips=flips, console=console)
        return 0

    interruption = Interruption("the masks that are written so far stay")
    raise typer.Exit(conclude_on_signal(act, interruption))


@app.command()
def evaluate(
    model: Model,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Images with their masks.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Table to write.")] = Path(
        "cases.csv"
    ),
    top: Top = 1,
    folds: Folds = False,
    flips: Flips = False,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="How FOLDER is read, as data.layout=pairs."
        ),
    ] = None,
) -> None:
    """Score a model on a folder of images with masks, case by case.

    Dice, IoU, precision, recall, HD95 and surface Dice, at the images' own resolution.
    """
    from tune.evaluation import evaluate_folder
    from tune.models import Choice, find_model, require_order

    console = open_console()
    require_order(folder)
    chosen = find_model(Choice(model, top=top, folds=folds), console)
    evaluate_folder(chosen, folder, out, overrides=tuple(set_ or ()), flips=flips, console=console)


@app.command()
def export(
    model: Model,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    format_: Annotated[
        Literal["onnx", "torch", "both"], typer.Option("--format", help="What others read.")
    ] = "onnx",
    top: Top = 1,
    folds: Folds = False,
    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="DIR", help="Images to compare on; drawn ones if none."),
    ] = None,
) -> None:
    """Write a model for other programs: ONNX or torch.export, with its model card.

    What was written is run again and compared with the model before it counts.
    """
    from tune.export import export_model
    from tune.models import Choice, find_model

    console = open_console()
    chosen = find_model(Choice(model, top=top, folds=folds), console)
    export_model(chosen, out, format_=format_, images=images, console=console)
