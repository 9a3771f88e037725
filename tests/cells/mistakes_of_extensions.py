"""Mistakes in what only some cells declare: vectors that are not learned, delays, and values before the step."""

from cells.mistakes import GOOD, Mistake

BEFORE = 'late = {"z": "v"}\ndef before(self, a, s, p):\n    '
OF_EXTENSIONS = {
    # What `fixed` declares.
    "fixed as a tuple": Mistake(GOOD, ("`fixed` is ('v',), but it must be a dict",), 'vectors = ("v",)\nfixed = ("v",)'),
    "fixed to a number": Mistake(
        GOOD, ("`fixed` gives 'v' 2, but it must be a distribution",), 'vectors = ("v",)\nfixed = {"v": 2}'
    ),
    "fixed what there is not": Mistake(GOOD, ("fixed names 'v', which is not among",), 'fixed = {"v": Constant(1.0)}'),
    "fixed at random": Mistake(
        GOOD, ("must be the same numbers at every draw",), 'vectors = ("v",)\nfixed = {"v": Log(Uniform(1, 2))}'
    ),
    "fixed and shared": Mistake(
        GOOD, ("`fixed` and `scalars` both name 'v'",), 'vectors = scalars = ("v",)\nfixed = {"v": Constant(1.0)}'
    ),
    # What `delay` declares.
    "delay as a number": Mistake(GOOD, ("`delay` is 2, but it must be a dict",), "delay = 2"),
    "a delay of half a step": Mistake(
        GOOD, ("`delay` is {'h': 2.5}, but it must be a dict from names to numbers",), 'delay = {"h": 2.5}'
    ),
    "a delay of what there is not": Mistake(
        GOOD, ("`delay` names 'c', but only the input 'x' and the state (h)",), 'delay = {"c": 2}'
    ),
    "the state of the step before": Mistake(GOOD, ("`delay` gives 'h' 1 steps, but the least is 2",), 'delay = {"h": 1}'),
    "the input of this step": Mistake(GOOD, ("`delay` gives 'x' 0 steps, but the least is 1",), 'delay = {"x": 0}'),
    "a delayed input without input": Mistake(
        GOOD,
        ("`delay` names the input 'x', but no pre-activation reads it",),
        'delay = {"x": 1}\nsources = {"f": "recurrent", "z": "recurrent"}',
    ),
    "a state called as the input": Mistake(
        "return {'h': tanh(a.z), 'x': s.x}, {}", ("`state` has a part 'x'",), 'state = ("h", "x")\ndelay = {"h": 2}'
    ),
    "a delay and gates that options decide": Mistake(
        GOOD,
        ("`gates` is a property; in a cell with `delay`",),
        'delay = {"h": 2}\n@property\ndef gates(self):\n    return {"f": "forget", "z": "block_input"}',
    ),
    "a delay that is never read": Mistake(
        GOOD, ("does not call super().__post_init__()",), 'delay = {"h": 2}\ndef __post_init__(self):\n    pass'
    ),
    "a part that lies further back": Mistake(
        "h = tanh(a.z + s.h_4) #!\nreturn {'h': h}, {}", ("step reads s.h_4, but `state` declares h, h_2, h_3",), 'delay = {"h": 3}'
    ),
    "a delayed cell that reads what there is not": Mistake(
        "h = tanh(a.y) #!\nreturn {'h': h}, {}", ("step reads a.y, but `gates` declares f, z",), 'delay = {"x": 1}'
    ),
    "a delayed cell that returns too little": Mistake(
        "return {'h': tanh(a.z)}", ("step returns a dict, but it must return two",), 'delay = {"h": 2}'
    ),
    "a part of a name that is taken": Mistake(
        "return {'h': tanh(a.z), 'h_2': s.h}, {}", ("`state` has the name 'h_2' twice",), 'state = ("h", "h_2")\ndelay = {"h": 2}'
    ),
    # What `before` reads and returns.
    "before without late": Mistake(
        GOOD, ("has a method `before`, but no pre-activation reads",), "def before(self, a, s, p):\n    return {'v': s.h}"
    ),
    "late without before": Mistake(GOOD, ("`late` reads v, which is not a part of the state", "`before`"), 'late = {"z": "v"}'),
    "late as a tuple": Mistake(GOOD, ("`late` is ('z', 'v'), but it must be a dict",), 'late = ("z", "v")'),
    "late of nothing": Mistake(GOOD, ("`late` gives 'z' (), but it must be one or several different names",), 'late = {"z": ()}'),
    "an unknown late pre-activation": Mistake(GOOD, ("late names 'n', which is not among f, z",), 'late = {"n": "h"}'),
    "late and input only": Mistake(
        GOOD, ("`sources` gives 'z' no recurrent product",), 'late = {"z": "h"}\nsources = {"z": "input"}'
    ),
    "a vector called as a late matrix": Mistake(
        GOOD, ("the vector 'R_z' must have another name",), 'late = {"z": "h"}\nvectors = ("R_z",)'
    ),
    "a late peer": Mistake(GOOD, ("peer RNN has no late pre-activations",), 'late = {"z": "h"}\npeer = torch.nn.RNN'),
    "before with other arguments": Mistake(
        GOOD, ("`before` must take (self, a, s, p)",), 'late = {"z": "v"}\ndef before(self, a, s):\n    return {"v": s.h}'
    ),
    "before reads what is late": Mistake(
        GOOD, ("before reads a.z, which is late: its product reads v",), BEFORE + "return {'v': a.z * s.h} #!"
    ),
    "before reads what there is not": Mistake(GOOD, ("before reads s.c, but `state` declares h",), BEFORE + "return {'v': s.c} #!"),
    "before returns another name": Mistake(GOOD, ("before returns 'w', but `late` reads v",), BEFORE + "return {'w': s.h}"),
    "before returns nothing": Mistake(GOOD, ("before returns None, but it must return a dict",), BEFORE + "pass"),
    "before returns an empty dict": Mistake(GOOD, ("before returns nothing, but `late` also reads v",), BEFORE + "return {}"),
    "before yields a tensor": Mistake(GOOD, ("before yields a Tensor, but it must yield dicts",), BEFORE + "yield s.h"),
    "before yields twice": Mistake(GOOD, ("before yields 'v' twice",), BEFORE + "yield {'v': s.h}\n    yield {'v': s.h}"),
    "before couples units": Mistake(
        GOOD, ("before couples units: the value 'v'",), BEFORE + "return {'v': s.h - s.h.mean(-1, keepdim=True)}"
    ),
    "before branches": Mistake(
        GOOD, ("before turns a tensor into a Python value",), BEFORE + "return {'v': s.h * float(s.h.sum())} #!"
    ),
    "before of another shape": Mistake(GOOD, ("before returns the value 'v' of shape",), BEFORE + "return {'v': s.h[..., :1]}"),
}
