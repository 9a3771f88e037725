"""What `gatelab bench` measures: the only code that times kernels and training.

```
cases.py      what is measured: cells, shapes, the columns of a case
worker.py     a process that measures one step on request; steps.py builds the steps, peak.c is the machine's limit
client.py     the other end of the pipe
rounds.py     interleaved rounds over the workers, from a case to its figures
statistics.py medians and ratios
measured.py   figures that are kept, in measured.json, for `gatelab explain`
overhead.py   whole training steps: Lightning, logging and data against a bare loop
clock.py      times of several calls in one process, in turn: by the events of a GPU, or by the clock
gpu/          everything that is measured on a GPU, in one run: scripts/bench_gpu.sh
```
"""
