#!/bin/bash
#SBATCH --job-name=diff-v2m
#SBATCH --nodes=$nodes
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
$gpus
#SBATCH --time=$time
#SBATCH --signal=B:TERM@120
#SBATCH --output=diff-v2m-%j.log
# Ray over the allocation, one raylet a node; then the run, from the first node. Submit it again, and it goes on.
set -euo pipefail
export PATH=$binaries:"$$PATH"
export RAY_ENABLE_UV_RUN_RUNTIME_ENV=0 RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0

# Variables that the run needs, of the environment that sbatch carries along.
$needs

# The first of its lines. No pipe into head: what still writes into a closed pipe would end the script.
hosts=$$(scontrol show hostnames "$$SLURM_JOB_NODELIST")
head=$${hosts%%$$'\n'*}
address="$$head:$$((20000 + SLURM_JOB_ID % 20000))"

# The last two minutes before the end of the time: what is done is kept.
run=
stop() { [ -z "$$run" ] || kill -TERM "$$run" 2>/dev/null || true; }
trap stop TERM INT
trap 'kill $$(jobs -p) 2>/dev/null || true' EXIT

srun --nodes=1 --ntasks=1 --nodelist="$$head" ray start --head --node-ip-address="$$head" --port="$${address##*:}" --block &
for _ in $$(seq 60); do ray status --address "$$address" >/dev/null 2>&1 && break; sleep 2; done
if [ "$$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  others=$$((SLURM_JOB_NUM_NODES - 1))
  srun --nodes="$$others" --ntasks="$$others" --exclude="$$head" ray start --address="$$address" --block &
  for _ in $$(seq 60); do
    [ "$$(ray status --address "$$address" 2>/dev/null | grep -c '^ 1 node_')" -gt "$$others" ] && break
    sleep 2
  done
fi

diff-v2m score --address "$$address" $arguments &
run=$$!
set +e
wait "$$run"; code=$$?
# A signal ends the first wait before the run has ended.
[ "$$code" -gt 128 ] && { wait "$$run"; code=$$?; }
exit "$$code"
