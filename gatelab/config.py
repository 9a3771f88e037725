"""What a run is: plain dataclasses, composed by Hydra over `conf/`, checked when they are built.

Every number has its unit here. `machine`, `logger`, `out` and `sweep` say where and how a run happens, not what is computed:
they stay out of its identity (see `gatelab.runs`).
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from gatelab.errors import UserError, unknown
from gatelab.options import Options, option
from gatelab.options.bounds import shown
from gatelab.registry.plugins import absolute
from gatelab.runs.files import check_folder_name
from gatelab.runs.matched import REFERENCE

LONGEST_PATH = 3800  # characters; systems accept 4,096 with the names of the files in it
SHORTEST_LIMIT, LONGEST_LIMIT = 0.001, 3e9  # seconds of a wall-clock limit: what a timer can tell apart, and a century
MOST_LAYERS, MOST_THREADS = 10_000, 1024
LONGEST_TAG = 64  # characters that W&B accepts


@dataclass
class Model(Options):
    """The stack of recurrent layers."""

    hidden_size: int = option(128, "H, units a layer", minimum=1)
    num_layers: int = option(1, "L", minimum=1, maximum=MOST_LAYERS)
    dropout: float = option(0.0, "probability, on the outputs of every layer and in front of the head", minimum=0.0, below=1.0)
    input_noise: float = option(
        0.0, "standard deviation, in the unit of the inputs, of Gaussian noise on them in training", minimum=0.0
    )
    recurrent_dropout: float = option(
        0.0, "probability, on what recurrent products read; one mask for a row and a sequence", minimum=0.0, below=1.0
    )
    zoneout: float = option(0.0, "probability that the output of a unit stays at a step what it was", minimum=0.0, below=1.0)
    zoneout_memory: float = option(0.0, "the same for all other parts of the state, at once", minimum=0.0, below=1.0)
    residual: bool = option(False, "adds the input of a layer to its output where both are equally wide")
    bidirectional: bool = option(False, "adds the reverse direction")
    bias: bool = option(True, "one bias per pre-activation")
    backend: str = option("auto", "backend of the time loop")
    match: str = option(
        "units",
        "what variants share: hidden_size, or what `match_to` has with it, as nearly as a hidden size can",
        choices=("units", "parameters", "flops"),
    )
    match_to: str = option(REFERENCE, "the cell that the others are made as large, or as costly, as")

    @property
    def directions(self) -> int:
        """In which every layer reads."""
        return 2 if self.bidirectional else 1


@dataclass
class AdamW(Options):
    """AdamW (Loshchilov & Hutter 2019)."""

    name: str = option("adamw", choices=("adamw",))
    lr: float = option(5e-3, "learning rate", above=0.0)
    weight_decay: float = option(0.0, "decoupled decay", minimum=0.0)
    beta1: float = option(0.9, "decay of the first moment", minimum=0.0, below=1.0)
    beta2: float = option(0.999, "decay of the second moment", minimum=0.0, below=1.0)


@dataclass
class SGD(Options):
    """Stochastic gradient descent with momentum."""

    name: str = option("sgd", choices=("sgd",))
    lr: float = option(0.1, "learning rate", above=0.0)
    weight_decay: float = option(0.0, "L2 penalty", minimum=0.0)
    momentum: float = option(0.9, "momentum", minimum=0.0, below=1.0)
    nesterov: bool = option(False, "Nesterov's form, which needs momentum")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and not self.momentum:
            raise UserError(
                "SGD: nesterov is true, but momentum is 0. Give optimizer.momentum above 0, or optimizer.nesterov=false."
            )


@dataclass
class RMSprop(Options):
    """RMSprop (Tieleman & Hinton 2012)."""

    name: str = option("rmsprop", choices=("rmsprop",))
    lr: float = option(1e-3, "learning rate", above=0.0)
    weight_decay: float = option(0.0, "L2 penalty", minimum=0.0)
    alpha: float = option(0.9, "moving average of the squared gradient", minimum=0.0, below=1.0)
    momentum: float = option(0.0, "momentum", minimum=0.0, below=1.0)


@dataclass
class StandardInit(Options):
    """Weights U(-1/sqrt(H), 1/sqrt(H)), biases 0 but for those that the cell has an option for (`cell.forget_bias`)."""

    name: str = option("standard", choices=("standard",))


@dataclass
class ChronoInit(Options):
    """As standard, and the biases of what keeps the state from time scales 1 .. T_max (Tallec & Ollivier 2018, eq. 16).

    b_f = log u,  u ~ U[1, T_max - 1],  and b_i = -b_f where there is an input gate of its own.
    """

    name: str = option("chrono", choices=("chrono",))
    t_max: float = option(100.0, "T_max, the longest dependency in steps", minimum=2.0)


@dataclass
class UniformGateInit(Options):
    """As standard, and what keeps the state starts uniform over (0, 1) (Gu et al. 2020, arXiv 1910.09890, UGI).

    b_f = log(u / (1 - u)),  u ~ U[1/H, 1 - 1/H],  and b_i = -b_f where there is an input gate of its own.
    """

    name: str = option("uniform_gate", choices=("uniform_gate",))


@dataclass
class RetentionInit(Options):
    """As standard, and every unit of every cell keeps the same share of its state at a step: exp(-1 / timescale).

    b = log(r / (1 - r)),  r = exp(-1 / timescale), of the gate that keeps the state, whatever it is called, and -b of one that
    writes; the biases of all other gates stay as they are.
    """

    name: str = option("retention", choices=("retention",))
    timescale: float = option(10.0, "steps after which 1/e of the state is left", minimum=0.1)


@dataclass
class Schedule(Options):
    """The learning rate as a factor of `optimizer.lr` over the optimiser steps."""

    name: str = option("constant", "shape", choices=("constant", "linear", "cosine", "exponential"))
    warmup_steps: int = option(0, "optimiser steps of linear rise from 0", minimum=0)
    final: float = option(0.0, "factor reached at `trainer.max_steps` (linear, cosine, exponential)", minimum=0.0, maximum=1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name == "exponential" and not self.final:
            raise UserError(
                "Schedule: name is exponential, but final is 0, which no number of steps reaches: the learning rate would be 0 "
                "from the second step on. Give schedule.final above 0, as in schedule.final=0.01."
            )


@dataclass
class Trainer(Options):
    """How long and how to optimise. Steps are optimiser steps."""

    max_steps: int = option(1000, "optimiser steps", minimum=1)
    batch_size: int = option(32, "B, sequences a step", minimum=1)
    val_every: int = option(50, "optimiser steps between two validations", minimum=1)
    patience: int | None = option(
        10, "validations without improvement before the run ends, not counted on the task's plateau; null: never", minimum=1
    )
    clip_norm: float | None = option(1.0, "global gradient norm to clip at; null: no clipping", above=0.0)
    precision: str = option("f32", "number format", choices=("f32", "f64", "bf16", "f16"))
    log_every: int = option(10, "optimiser steps between two lines of training metrics", minimum=1)
    probe_every: int = option(50, "optimiser steps between two looks at gates, states and gradients; 0: never", minimum=0)
    saturated_below: float = option(0.1, "a gate below is left saturated", minimum=0.0, maximum=1.0)
    saturated_above: float = option(0.9, "a gate above is right saturated", minimum=0.0, maximum=1.0)
    max_seconds: float | None = option(None, "wall-clock limit; null: none", minimum=SHORTEST_LIMIT, maximum=LONGEST_LIMIT)
    detect_anomaly: bool = option(False, "autograd's anomaly detection")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.saturated_below > self.saturated_above:
            raise UserError(
                f"Trainer: saturated_below is {self.saturated_below}, but saturated_above is {self.saturated_above}: a gate "
                "between them would be both. Give trainer.saturated_below at most trainer.saturated_above."
            )


@dataclass
class Logger(Options):
    """Where metrics are mirrored. The run's own metrics file is always written."""

    name: str = option("wandb", "mirror", choices=("wandb", "csv", "none"))
    project: str = option("gatelab", "W&B project", longest=128, without="/\\#?%:")
    entity: str | None = option(None, "W&B team or user", longest=128, without="/\\#?%:")
    notes: str | None = option(None, "W&B notes, a sentence on what the run is for", longest=10_000)
    tags: list[str] = option(factory=list, help="W&B tags beside cell and task", longest=LONGEST_TAG)  # noqa: RUF009 - a factory
    media_every: int = option(500, "optimiser steps between two sets of plots and tables in W&B; 0: at the end", minimum=0)
    mode: str = option("auto", "W&B mode; auto: online with a key, else offline", choices=("auto", "online", "offline"))


@dataclass
class Machine(Options):
    """Where the run happens. Not part of its identity."""

    device: str = option("auto", "accelerator", choices=("auto", "cpu", "cuda", "mps"))
    threads: int = option(1, "threads of torch; results are bit-identical for a given number", minimum=1, maximum=MOST_THREADS)
    allocator: str = option(
        "keep",
        "what happens to freed memory; keep: the next step reuses it; system: left to the C library",
        choices=("keep", "system"),
    )
    checkpoint_every: int | None = option(None, "steps between kept states; null: from length and free memory", minimum=1)
    checkpoint_steps: int | None = option(None, "optimiser steps between two checkpoints beside those of validation", minimum=1)
    checkpoint_seconds: float | None = option(60.0, "wall-clock seconds between two, likewise; null: none", minimum=0.0)
    retry: str = option("failed", "which runs to retry; failed: what failed but did not diverge", choices=("none", "failed", "all"))
    progress: bool = option(True, "show a progress bar")


@dataclass
class Config(Options):
    """One run, whole."""

    cell: Any = dataclasses.MISSING
    task: Any = dataclasses.MISSING
    optimizer: Any = dataclasses.MISSING
    init: Any = dataclasses.MISSING
    model: Model = dataclasses.field(default_factory=Model)
    schedule: Schedule = dataclasses.field(default_factory=Schedule)
    trainer: Trainer = dataclasses.field(default_factory=Trainer)
    logger: Logger = dataclasses.field(default_factory=Logger)
    machine: Machine = dataclasses.field(default_factory=Machine)
    seed: int = option(0, "of weights and dropout")
    data_seed: int | None = option(None, "of the data; null: the same")
    plugins: list[str] = option(factory=list, help="Python files with cells or tasks", longest=LONGEST_PATH)  # noqa: RUF009 - a factory
    out: str = option("runs", "run directories lie here", longest=LONGEST_PATH)
    sweep: str | None = option(None, "name of the sweep, the W&B group; null: the time it started")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sweep is not None:
            check_folder_name("sweep", self.sweep)
        if self.schedule.warmup_steps > self.trainer.max_steps:
            raise UserError(
                f"schedule.warmup_steps is {self.schedule.warmup_steps}, but the run ends after trainer.max_steps="
                f"{self.trainer.max_steps}, before the learning rate is reached. Give fewer warm-up steps, or more steps."
            )
        self.plugins = [str(absolute(path)) for path in self.plugins]  # they are found from any folder, later

    def plain(self) -> dict[str, Any]:
        """As plain containers, which `build` takes."""
        return dataclasses.asdict(self)


# Parts of a run that are one of several classes, by the name of the choice.
GROUPS: dict[str, dict[str, type]] = {
    "optimizer": {"adamw": AdamW, "sgd": SGD, "rmsprop": RMSprop},
    "init": {"standard": StandardInit, "chrono": ChronoInit, "uniform_gate": UniformGateInit, "retention": RetentionInit},
}


def build(plain: dict[str, Any]) -> Config:
    """A Config from plain containers, every value checked.

    Raises:
        UserError: a value is out of bounds, a part is missing, or an unknown key was added.
    """
    parts: dict[str, Any] = {"init": {"name": "standard"}} | plain  # the default of the command line, too
    classes: dict[str, type] = {"model": Model, "schedule": Schedule, "trainer": Trainer, "logger": Logger, "machine": Machine}
    for key in ("cell", "task", *GROUPS, *classes):
        if not isinstance(parts.get(key), dict):
            what = f"is {shown(parts[key])} and not a part of a configuration" if key in parts else "is missing"
            raise UserError(f"The configuration cannot be used: '{key}' {what}.")
        if key not in classes and not isinstance(parts[key].get("name"), str):
            raise UserError(f"The configuration cannot be used: '{key}' has no name.")
    for group, choices in GROUPS.items():
        name = parts[group]["name"]
        if name not in choices:
            raise UserError(unknown(group, name, choices))
        classes[group] = choices[name]
    for key, cls in classes.items():
        parts[key] = _build(key, cls, parts[key])
    return _build("configuration", Config, parts)


def _build(where: str, cls: type, values: dict[str, Any]) -> Any:
    known = [field.name for field in dataclasses.fields(cls)]
    for key in values:
        if key not in known:
            raise UserError(unknown(f"option of {where}", str(key), known))
    return cls(**values)
