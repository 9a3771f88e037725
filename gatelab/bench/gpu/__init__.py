"""Everything that is measured on a GPU, in one run: `scripts/bench_gpu.sh`.

```
__main__.py   the script: sections in processes of their own, each with a limit; what they found as a file and as lines
section.py    what a section is, and where it measures
ceilings.py   copies, products and launches of the device itself
accuracy.py   every cell on the device against float64 on the CPU
speed.py      steps of training: torch's own, ours, torch.compile's, other libraries'; launches of kernels
training.py   bare loops of training
runs.py       whole runs through `fit`: time, waits, whether a cut run ends the same
threads.py    the compiled loop of the CPU on 1 to 16 threads
```
"""
