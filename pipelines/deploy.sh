#!/usr/bin/env bash
# Deploys a package to the slot that may be deployed to now, and tells Flex Canary so.
#
# A lease on the idle slot comes first (lease.sh): no traffic moves to it until the announcement, and a second pipeline
# is refused, as is this one while a rollout or its watch is on. A deployment that fails gives its lease back.
#
# Usage: pipelines/deploy.sh SERVICE VERSION PACKAGE.zip DEPLOYMENT_ID [SLOT_FILE]
# SLOT_FILE is what lease.sh printed in an earlier step; without it the lease is taken here.
# Needs: CANARY_URL, CANARY_KEY, CANARY_TOPIC, AZURE_RESOURCE_GROUP, BLUE_NAME, GREEN_NAME, and az signed in.
# May have: COMMIT, LINK; PREEMPT=true (a hotfix: ends the rollout that runs), RETRY=true (this version was live or
# rolled back before), ROLLBACK=ask (a migration: page a person instead of going back).
set -euo pipefail

service=${1:?usage: pipelines/deploy.sh SERVICE VERSION PACKAGE.zip DEPLOYMENT_ID [SLOT_FILE]}
version=${2:?VERSION is missing}
package=${3:?PACKAGE.zip is missing}
deployment=${4:?DEPLOYMENT_ID is missing}
for name in CANARY_URL CANARY_KEY CANARY_TOPIC AZURE_RESOURCE_GROUP BLUE_NAME GREEN_NAME; do
  [ -n "${!name:-}" ] || { echo "deploy: $name is not set: see docs/infrastructure.md, pipelines" >&2; exit 2; }
done

if [ -n "${5:-}" ]; then
  slot=$(cat "$5")
else
  slot=$("$(dirname "$0")/lease.sh" "$service" "$version" "$deployment")
fi
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
# The announcement's token is fetched now and kept by az: after a long build the sign-in of a pipeline is too old to
# give a token for anything that was not asked before (AADSTS700024).
az account get-access-token --resource https://eventgrid.azure.net --output none
echo "deploy: $version to $slot ($app)"
az functionapp deployment source config-zip --resource-group "$AZURE_RESOURCE_GROUP" --name "$app" \
  --src "$package" --build-remote true --output none

announcement=(--service "$service" --version "$version" --slot "$slot" --deployment-id "$deployment")
[ -z "${COMMIT:-}" ] || announcement+=(--commit "$COMMIT")
[ -z "${LINK:-}" ] || announcement+=(--link "$LINK")
[ "${RETRY:-false}" != true ] || announcement+=(--retry)
[ "${ROLLBACK:-auto}" = auto ] || announcement+=(--rollback "$ROLLBACK")
canary announce "${announcement[@]}"
