"""`gatelab wandb`: a saved workspace or a report in a W&B project, for what `logger=wandb` sent there."""

from gatelab.cells import CELLS
from gatelab.config import Logger
from gatelab.errors import UserError
from gatelab.process.output import say
from gatelab.tasks import TASKS
from gatelab.training.wandb import workspace
from gatelab.training.wandb.account import wandb_key

VIEWS = {"workspace": workspace.workspace, "report": workspace.report}


def run(view: str, project: str, entity: str | None, layers: int, format: str) -> int:
    """Saves the view and prints its address."""
    Logger(project=project, entity=entity)  # refuses names that W&B does not take
    make = VIEWS[view]
    metrics, gates = _metrics(), _gates()
    if format == "json":
        if view == "report":
            raise UserError("wandb: --format json goes with workspace; a report is built by asking the server for its runs.")
        made = make(entity or "entity", project, metrics, gates, layers)
        say(made._to_model().model_dump_json(by_alias=True, indent=1))
        return 0
    if not wandb_key():
        raise UserError(
            f"wandb {view}: it is created on W&B's server, which requires an account. Run `wandb login`, or set "
            "WANDB_API_KEY (and WANDB_BASE_URL for a server of your own), then repeat the command."
        )
    try:
        made = make(entity or _own_entity(), project, metrics, gates, layers).save()
    except UserError:
        raise
    except Exception as error:  # of the network, the server or the library, each with classes of its own
        what = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise UserError(
            f"wandb {view}: the server refused: {what}. Check `wandb login --verify` and that the project '{project}' exists."
        ) from error
    say(made.url)
    return 0


def _own_entity() -> str:
    import wandb

    return wandb.Api().default_entity or ""


def _metrics() -> dict[str, str]:
    """The scores of all tasks, and which of their values is the best."""
    return {task.metric: "max" if task.higher_is_better else "min" for task in map(TASKS.get, TASKS.names())}


def _gates() -> list[str]:
    """The gates of all cells, each once, the most common first."""
    found: dict[str, int] = {}
    for name in CELLS.names():
        for gate in CELLS.build(name).activated:
            found[gate] = found.get(gate, 0) + 1
    return sorted(found, key=lambda gate: -found[gate])
