#!/usr/bin/env bash
# One stage of a rollout: waits until it ends, or until the policy asks a person for the next share (`approvals`).
#
#   pipelines/advance.sh SERVICE DEPLOYMENT_ID wait      first stage: ends well when promoted, or when approval is asked
#   pipelines/advance.sh SERVICE DEPLOYMENT_ID approve   later stage, behind the pipeline's own gate: approves, then waits
#   pipelines/advance.sh SERVICE DEPLOYMENT_ID finish    last stage: approves what is asked, and must end promoted
#
# With no approvals in the policy the first stage waits for the end and the others find it there. Ends with 0 as said
# above, 1 when rolled back or rejected, 3 when held for another reason or out of time: the analyzer goes on, so run
# the stage again to go on waiting.
# Needs: CANARY_URL, CANARY_KEY. May have: CANARY_TIMEOUT (5h), CANARY_PATIENCE (5m: how long a hold may last).
set -euo pipefail

service=${1:?usage: pipelines/advance.sh SERVICE DEPLOYMENT_ID wait|approve|finish}
deployment=${2:?DEPLOYMENT_ID is missing}
stage=${3:?wait, approve or finish is missing}
report=$(mktemp)
trap 'rm -f "$report"' EXIT

# Follows the rollout; the last line of the report says how it stands.
follow() { # $1 patience
  local code=0
  canary wait --service "$service" --deployment-id "$deployment" --timeout "${CANARY_TIMEOUT:-5h}" --patience "$1" \
    --json >"$report" || code=$?
  python3 -c '
import json, sys
for line in open(sys.argv[1]):
    decision = json.loads(line).get("decision")
    if decision:
        print(decision.get("phase"), str(decision.get("share")) + " %", decision.get("sentence"), sep="\t")
' "$report"
  return "$code"
}

# True when the rollout is held because a share waits for a person.
asked() {
  tail -n 1 "$report" | python3 -c '
import json, sys
line = sys.stdin.readline()
sys.exit(0 if line and json.loads(line).get("hold") == "approval" else 1)'
}

case $stage in
  wait) ;;
  approve | finish)
    code=0
    follow 0s || code=$?
    [ "$code" != 0 ] || exit 0 # promoted already
    [ "$code" = 3 ] || exit "$code"
    asked || { echo "advance: held, but not for an approval: canary status $service" >&2; exit 3; }
    canary approve "$service" --reason "approved in the pipeline, deployment $deployment"
    ;;
  *) echo "advance: $stage is no stage: write wait, approve or finish" >&2; exit 2 ;;
esac

code=0
follow "${CANARY_PATIENCE:-5m}" || code=$?
if [ "$code" = 3 ] && asked; then
  if [ "$stage" = finish ]; then
    echo "advance: another share waits for approval: the policy asks for more approvals than the pipeline has stages" >&2
    exit 3
  fi
  echo "advance: proven so far; the next share waits for approval"
  exit 0
fi
exit "$code"
