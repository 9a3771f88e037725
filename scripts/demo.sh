#!/usr/bin/env bash
# The main job: five gating variants, two tasks, six seeds, on all cores; then the comparison and a report.
# usage: scripts/demo.sh    (does its own set-up; run again, it only trains what is missing)
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

status=0
gatelab train -m experiment=demo/adding,demo/digits cell=attention,lstm,cifg,nig,peephole seed=0,1,2,3,4,5 out=runs/demo sweep=demo \
  || status=$?
gatelab report runs/demo --baseline lstm -o runs/demo/report.html
echo "W&B offline runs: $PWD/runs/demo/sweeps/demo/wandb"
gatelab compare runs/demo --baseline lstm --brief  # last, so that it is the screen that is left
exit "$status"
