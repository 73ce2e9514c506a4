"""The command line: each verb is one call of the library.

Everything heavy is imported inside the verbs, so that ``sciml --help`` answers at once and loads neither NumPy nor torch.
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sciml.errors import InputError
from sciml.progress import Progress
from sciml.terminal import FAILED, evaluation_lines, plan_in_words, print_figures, print_report, resumable_verb, say, verb

app = typer.Typer(
    name="sciml",
    help="PDE problems declared once: data with a residual certificate, trained operators, and a check of both.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Dataset = Annotated[Path, typer.Argument(metavar="DATA", help="Folder of a dataset.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a training run.")]
_FROM_DATA, _FROM_EQUATION = "Operators, from data", "Networks, from an equation (--model pinn, lpinn)"
Split = Annotated[str, typer.Option(help="train, valid or test.")]


def _telling_of_compilation(quiet: bool) -> contextlib.AbstractContextManager[None]:
    """Say so when this process compiles kernels inside the block: half a minute where nobody has, or the sources have changed."""
    if quiet:
        return contextlib.nullcontext()
    from solvers.linear.compiled import compilation_told

    return compilation_told(lambda: say("compiling kernels, once per installation ..."))


@app.command("list")
@verb
def list_(as_json: Json = False) -> None:
    """List the recipes that come with the suite."""
    from sciml.data.recipe import list_recipes

    recipes = list_recipes()
    if as_json:
        print_figures({recipe.name: recipe.model_dump(mode="json") for recipe in recipes}, as_json)
        return
    for recipe in recipes:
        typer.echo(f"{recipe.name:<20} {recipe.problem.domain!s:<14} {recipe.title}")


@app.command()
@resumable_verb
def generate(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a shipped recipe, or a path to a recipe.toml.")],
    out: Annotated[Path, typer.Option(help="Folder of the dataset; an interrupted one is completed.")],
    samples: Annotated[int | None, typer.Option(min=1, help="Over all splits, default the recipe's; more add, fewer remove none.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The recipe's own where left out.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes; the samples do not depend on it.")] = 1,
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Solve on the workers of this dask scheduler, as tcp://host:8786.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override an entry, as problem.resolution=64 (repeatable).")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Solve a recipe's problem for random parameters and store the samples, each with its residual or its error."""
    from sciml.data.generate import generate as generate_dataset
    from sciml.data.recipe import load_recipe

    with _telling_of_compilation(quiet), Progress(quiet) as progress:
        chosen = load_recipe(recipe, overrides or ())
        result = generate_dataset(chosen, out, samples=samples, seed=seed, workers=workers, cluster=cluster, progress=progress)
    named = {"worst_residual": f"worst_{chosen.problem.certificate}"}
    print_figures({named.get(name, name): value for name, value in asdict(result).items()}, as_json)
    shares = {"valid": chosen.data.valid, "test": chosen.data.test}
    empty = [split for split, share in shares.items() if share and not result.samples[split]]
    if empty and not quiet:
        say(f"note: too few samples for a share in {' and '.join(empty)}; training needs both, so run it again with more --samples")


@app.command()
@verb
def plan(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a shipped recipe, or a path to a recipe.toml.")],
    samples: Annotated[int | None, typer.Option(min=1, help="Over all splits, default the recipe's.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override an entry, as problem.resolution=64 (repeatable).")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Say how a recipe would be solved and why, how long it would take and how much it would store; writes nothing."""
    from sciml.data.plan import plan_generation
    from sciml.data.recipe import load_recipe

    with _telling_of_compilation(quiet):
        figures = asdict(plan_generation(load_recipe(recipe, overrides or ()), samples=samples, workers=workers))
    print_figures(figures if as_json else plan_in_words(figures), as_json)


@app.command()
@verb
def info(data: Dataset, as_json: Json = False) -> None:
    """Describe a dataset: problem, fields, splits, provenance; exit code 1 where a shard of it cannot be read."""
    from sciml.data.info import describe

    facts = describe(data)
    print_figures(facts, as_json)
    if "damaged" in facts:
        say(f"error: shards of {data} that cannot be read: {len(facts['damaged'])}; {facts['remedy']}")
        raise typer.Exit(FAILED)


@app.command()
@verb
def verify(
    data: Dataset,
    regenerate: Annotated[int, typer.Option(min=0, metavar="K", help="Also draw and solve K samples again, and compare.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of those samples.")] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Check a dataset: layout, hashes, ranges, duplicates, and every residual or error recomputed from the stored fields."""
    from sciml.data.verify import verify as verify_dataset

    with _telling_of_compilation(quiet), Progress(quiet) as progress:
        result = verify_dataset(data, regenerate=regenerate, seed=seed, progress=progress)
    print_report(result, as_json)


@app.command("import")
@resumable_verb
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE.npz", help="Arrays of shape (samples, nx, ny[, nz]).")],
    input_: Annotated[list[str], typer.Option("--input", help="Name of an array that a model sees (repeatable).")],
    output: Annotated[list[str], typer.Option("--output", help="Name of an array that a model predicts (repeatable).")],
    out: Annotated[Path, typer.Option(help="Folder of the dataset to write.")],
    test: Annotated[Path | None, typer.Option(metavar="FILE.npz", help="A second file for the test split.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the dataset; the file's own where left out.")] = None,
    valid_fraction: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of FILE.npz kept for validation.")] = 0.1,
    symmetry: Annotated[list[str] | None, typer.Option(help="reflect_x, reflect_nodes_x (samples at j/n), swap_xy; repeatable.")] = None,
    quiet: Quiet = False,
) -> None:
    """Bring your own arrays into the store that every other verb reads."""
    from sciml.data.convert import import_arrays

    with Progress(quiet) as progress:
        path = import_arrays(
            file,
            out,
            input=input_,
            output=output,
            test=test,
            name=name,
            valid_fraction=valid_fraction,
            symmetries=tuple(symmetry or ()),
            progress=progress,
        )
    typer.echo(str(path))


@app.command()
@verb
def export(
    data: Dataset,
    out: Annotated[Path, typer.Option(help="The file to write, replaced where it exists: .vtkhdf for a grid, .vtu for a mesh.")],
    sample: Annotated[int, typer.Option(min=0, help="Number of the sample in its split.")] = 0,
    split: Annotated[
        str | None, typer.Option(help="train, valid or test; left out, the first of test, valid and train that has any.")
    ] = None,
) -> None:
    """Write one sample for ParaView; a velocity becomes one vector."""
    from sciml.io.export import export_sample, filled_split

    chosen = split or filled_split(data)
    export_sample(data, out, split=chosen, sample=sample)
    typer.echo(str(out))
    if split is None and chosen != "test":
        say(f"note: split 'test' has no samples; this is sample {sample} of {chosen!r}")


@app.command()
@resumable_verb
def train(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder of a dataset; or a training recipe: direction-2d, direction-3d, pinn-poisson, pinn-heat, pinn-burgers, "
            "lpinn-convection, lpinn-burgers, a .toml file; or, with --model pinn or lpinn, the recipe of a dataset.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run; an interrupted one is completed.")],
    model: Annotated[str | None, typer.Option(help="fno, tfno or uno, from data; pinn or lpinn, from the equation.")] = None,
    hidden_channels: Annotated[int | None, typer.Option(min=1, help="Width of the network.")] = None,
    layers: Annotated[int | None, typer.Option(min=1, help="Number of Fourier layers, or of hidden ones on an equation.")] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            help="From data: adamw, mfac, mkor or mkor-h. From an equation: sven, gauss-newton, levenberg-marquardt, geodesic-lm, spring, "
            "ssbroyden, ssbfgs, lbfgs or adam."
        ),
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Largest step of the schedule; of most on equations, a factor.")] = None,
    modes: Annotated[int | None, typer.Option(min=1, help="Fourier modes kept along each axis.", rich_help_panel=_FROM_DATA)] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the training split.", rich_help_panel=_FROM_DATA)] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Samples in one step.", rich_help_panel=_FROM_DATA)] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of the optimizer.", rich_help_panel=_FROM_DATA)] = None,
    loss: Annotated[str | None, typer.Option(help="h1 or l2, relative.", rich_help_panel=_FROM_DATA)] = None,
    augment: Annotated[
        bool | None,
        typer.Option("--augment/--no-augment", help="Use the symmetries that the dataset declares.", rich_help_panel=_FROM_DATA),
    ] = None,
    network: Annotated[str | None, typer.Option(help="mlp, modified_mlp or piratenet.", rich_help_panel=_FROM_EQUATION)] = None,
    points: Annotated[
        int | None, typer.Option(min=4, help="Collocation points (lpinn: of a window of time).", rich_help_panel=_FROM_EQUATION)
    ] = None,
    resample: Annotated[
        bool | None,
        typer.Option("--resample/--no-resample", help="Draw points anew where residuals are large.", rich_help_panel=_FROM_EQUATION),
    ] = None,
    weighting: Annotated[str | None, typer.Option(help="none, causal, gradient-norm or ntk.", rich_help_panel=_FROM_EQUATION)] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the optimizer (lpinn: in a window).", rich_help_panel=_FROM_EQUATION)
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=0, help="Which sample of the recipe's train split.", rich_help_panel=_FROM_EQUATION)
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Override an entry of a dataset's recipe (repeatable).", rich_help_panel=_FROM_EQUATION
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of weights, points, order and augmentation.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a neural operator on a dataset, a network on an equation, or what a training recipe says.

    Every setting left out has the recipe's value or the default.
    """
    given = {name: value for name, value in locals().items() if name not in {"data", "out", "quiet", "as_json", "overrides"}}
    given = {name: value for name, value in given.items() if value is not None}
    from sciml.training.direction_settings import find_training_recipe, load_direction_settings, read_training_recipe
    from sciml.training.pinn_settings import EQUATION_MODELS, load_equation_recipe

    path = find_training_recipe(data)
    content = {} if path is None else read_training_recipe(path)
    if (model or content.get("model")) in EQUATION_MODELS:
        if "hidden_channels" in given:
            given["width"] = given.pop("hidden_channels")
        recipe, equation_settings = load_equation_recipe(data, given, overrides or ())
        from sciml.training import train_equation

        with _telling_of_compilation(quiet), Progress(quiet) as progress:
            print_figures(asdict(train_equation(recipe, out, equation_settings, progress=progress)), as_json)
        return
    if overrides:
        raise InputError("--set changes the recipe of a problem, which only --model pinn and lpinn read; drop it")
    if path is not None:
        settings = load_direction_settings(path, given)
        from sciml.training import train_direction

        with Progress(quiet) as progress:
            print_figures(asdict(train_direction(out, settings, progress=progress)), as_json)
        return
    from sciml.training import TrainSettings
    from sciml.training import train as train_operator

    with Progress(quiet) as progress:
        result = train_operator(data, out, TrainSettings(**given), progress=progress)
    print_figures(asdict(result), as_json)


@app.command()
@verb
def evaluate(
    run: Run,
    data: Annotated[Path | None, typer.Argument(metavar="[DATA]", help="Another dataset; the one trained on where left out.")] = None,
    split: Split = "test",
    resolution: Annotated[int | None, typer.Option(min=2, help="Evaluate on a grid of this many cells along each axis.")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="At most this many samples.")] = None,
    gate: Annotated[
        float | None, typer.Option(min=0.0, help="Largest (median) relative L2 error that passes: 0.08 for operators, 0.01 for a pinn.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure a trained operator: errors, the PDE residual of its predictions, speed against the solver; or a pinn: its errors."""
    from sciml.data.run_format import EQUATION, run_format

    if run_format(run) == EQUATION:
        from sciml.training.pinn import DEFAULT_GATE, evaluate_equation

        if data is not None or resolution is not None or samples is not None:
            raise InputError("a pinn solves one problem: its evaluation takes no DATA, --resolution or --samples")
        print_report(evaluate_equation(run, gate=DEFAULT_GATE if gate is None else gate), as_json)
        return
    from sciml.training import evaluate as evaluate_run
    from sciml.training.evaluation import DEFAULT_GATE as OPERATOR_GATE

    gate = OPERATOR_GATE if gate is None else gate
    with Progress(quiet) as progress:
        result = evaluate_run(run, data, split=split, resolution=resolution, samples=samples, gate=gate, progress=progress)
    if not as_json:
        typer.echo("\n".join(evaluation_lines(result.details)))
    print_report(result, as_json)


@app.command()
@verb
def report(
    run: Run,
    out: Annotated[Path, typer.Option(help="The page to write; its JSON twin lies beside it.")],
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Also draw the median sample, or a pinn's fields, into a file.")
    ] = None,
) -> None:
    """Write one self-contained HTML page about an evaluated run, and the same as JSON."""
    from sciml.report import write_report

    typer.echo(str(write_report(run, out, picture=picture)))
    if picture is not None:
        typer.echo(str(picture))
