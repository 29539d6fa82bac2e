#!/usr/bin/env bash
# Deploys a package to the slot that may be deployed to now, and tells Flex Canary so.
#
# `canary target` takes a lease on the idle slot: no traffic moves to it until the announcement, and a second pipeline
# is refused, as is this one while a rollout or its watch is on. A deployment that fails gives its lease back.
#
# Usage: pipelines/deploy.sh SERVICE VERSION PACKAGE.zip DEPLOYMENT_ID
# Needs: CANARY_URL, CANARY_KEY, CANARY_TOPIC, AZURE_RESOURCE_GROUP, BLUE_NAME, GREEN_NAME, and az signed in.
# May have: COMMIT, LINK; PREEMPT=true (a hotfix: ends the rollout that runs), RETRY=true (this version was live or
# rolled back before), ROLLBACK=ask (a migration: page a person instead of going back).
set -euo pipefail

service=${1:?usage: pipelines/deploy.sh SERVICE VERSION PACKAGE.zip DEPLOYMENT_ID}
version=${2:?VERSION is missing}
package=${3:?PACKAGE.zip is missing}
deployment=${4:?DEPLOYMENT_ID is missing}
for name in CANARY_URL CANARY_KEY CANARY_TOPIC AZURE_RESOURCE_GROUP BLUE_NAME GREEN_NAME; do
  [ -n "${!name:-}" ] || { echo "deploy: $name is not set: see docs/infrastructure.md, pipelines" >&2; exit 2; }
done

target=(--wait --timeout 2h --reason "deployment $deployment of $version")
[ "${PREEMPT:-false}" != true ] || target+=(--preempt)
slot=$(canary target "$service" "${target[@]}")
case $slot in
  blue) app=$BLUE_NAME ;;
  green) app=$GREEN_NAME ;;
  *) echo "deploy: canary target said '$slot', which is no slot" >&2; exit 1 ;;
esac

# Whatever fails from here on: the next deployment need not wait until the lease is over.
give_back() {
  code=$?
  canary target "$service" --release --reason "deployment $deployment failed" ||
    echo "deploy: the lease was not given back, it runs out by itself" >&2
  exit "$code"
}
trap give_back ERR
echo "deploy: $version to $slot ($app)"
az functionapp deployment source config-zip --resource-group "$AZURE_RESOURCE_GROUP" --name "$app" \
  --src "$package" --build-remote true --output none

announcement=(--service "$service" --version "$version" --slot "$slot" --deployment-id "$deployment")
[ -z "${COMMIT:-}" ] || announcement+=(--commit "$COMMIT")
[ -z "${LINK:-}" ] || announcement+=(--link "$LINK")
[ "${RETRY:-false}" != true ] || announcement+=(--retry)
[ "${ROLLBACK:-auto}" = auto ] || announcement+=(--rollback "$ROLLBACK")
canary announce "${announcement[@]}"
