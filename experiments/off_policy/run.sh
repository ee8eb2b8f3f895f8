#!/bin/sh
# Train the tiny SLM with both values of trainer.off_policy_steps and three seeds, collect and evaluate each run, and
# compare the two groups. From the root of the repository; the same command resumes.
#
#   sh experiments/off_policy/run.sh [overrides of corea.train, e.g. trainer.steps=50]
set -e
python -m corea.train -m --config-dir sweeps --config-name off_policy "$@"
for config in outputs/sweeps/off_policy/*/config.yaml; do
  run=$(dirname "$config")
  python -m corea.collect run="$run"
  python -m corea.evaluate answers="$run/answers.parquet"
done
python -m corea.compare sweep=outputs/sweeps/off_policy
