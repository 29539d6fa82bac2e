#!/usr/bin/env bash
# Takes the lease on the slot that may be deployed to now, waiting for it while a rollout or its watch is on, and prints
# the slot: blue or green.
#
# It needs no sign-in to Azure, and in a pipeline it comes before it: what a federated sign-in holds is good for
# minutes, and the wait may last hours.
#
# Usage: pipelines/lease.sh SERVICE VERSION DEPLOYMENT_ID
# Needs: CANARY_URL, CANARY_KEY. May have: PREEMPT=true (a hotfix: ends the rollout that runs).
set -euo pipefail

service=${1:?usage: pipelines/lease.sh SERVICE VERSION DEPLOYMENT_ID}
version=${2:?VERSION is missing}
deployment=${3:?DEPLOYMENT_ID is missing}

target=(--wait --timeout 2h --reason "deployment $deployment of $version")
[ "${PREEMPT:-false}" != true ] || target+=(--preempt)
canary target "$service" "${target[@]}"
