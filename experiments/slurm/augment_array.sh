#!/usr/bin/env bash
# A study on a cluster, one cell a task. Told to stop (90 s before the time limit, or preempted), a task keeps what it
# has, is queued again and goes on from there.
#   ganaug augment --config experiments/augment_digits.yaml --out study --list_cells
#   sbatch --array=0-29 experiments/slurm/augment_array.sh experiments/augment_digits.yaml study
# When all are done, the first line without --list_cells writes the results. With --until, --list_cells then shows the
# cells of a second stage too, and another array runs them.
#SBATCH --job-name=ganaug
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=2
#SBATCH --time=04:00:00
#SBATCH --signal=USR1@90
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
exec srun ganaug augment --config "$1" --out "$2" --cell "$SLURM_ARRAY_TASK_ID" --progress false "${@:3}"
