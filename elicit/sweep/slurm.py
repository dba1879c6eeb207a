"""A study as a job array of Slurm: a script that requeues itself and goes on where it stopped."""

import shlex
import sys
from pathlib import Path

from elicit.sweep._place import is_url, local_path
from elicit.sweep._resources import gpus_named
from elicit.sweep.study import Study

_LEFT = 120
"""Seconds before the time limit at which a run is told to stop and is queued again."""


def array_script(study: Study, path: Path | str, *, hours: float = 12.0) -> str:
    """Text of a batch script that runs each run of a study as one task of an array.

    Shortly before its time limit a task gets SIGTERM, which keeps everything finished, and is
    queued again; the next attempt goes on from there.

    Args:
        study: Its runs.
        path: The study's file, as the tasks will read it.
        hours: Time limit of one attempt.
    """
    gpus = max(gpus_named(run.spec) for run in study.runs)
    asked = "# no GPU is requested; device: cuda in the study does"
    if gpus:
        asked = f"#SBATCH --gpus-per-task={gpus}"
    minutes = round(hours * 60)
    name = shlex.quote(study.out.name)
    file = str(path) if is_url(path) else str(local_path(path))
    command = shlex.join([sys.executable, "-m", "elicit", "sweep", file, "--out"])
    where = study.url or str(study.out)
    return f"""#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --array=1-{len(study.runs)}
#SBATCH --cpus-per-task=2
{asked}
#SBATCH --time={minutes // 60:02}:{minutes % 60:02}:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@{_LEFT}

# What is finished is kept, so that a task that was stopped goes on when it is queued again.
again() {{
  kill -TERM "$task" 2>/dev/null
  wait "$task"
  scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
}}
trap again TERM
{command} {shlex.quote(where)} --only "$SLURM_ARRAY_TASK_ID" &
task=$!
wait "$task"
"""
