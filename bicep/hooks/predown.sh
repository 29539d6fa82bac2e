#!/usr/bin/env bash
# Before `azd down`: azd deletes every resource group that the deployment wrote into, with all that is in it. Where an
# API Management service was adopted, that is the service's group too: this stops azd before it deletes anything.
set -euo pipefail

: "${AZURE_ENV_NAME:?predown: run by azd: azd down}"
group=${CANARY_RESOURCE_GROUP:-rg-$AZURE_ENV_NAME}
[ -n "${API_MANAGEMENT_NAME:-}" ] || exit 0

adopted=${API_MANAGEMENT_RESOURCE_GROUP:-$group}
echo "predown: nothing was deleted. azd would delete the resource group $adopted with the adopted API Management service $API_MANAGEMENT_NAME and all else that is in it." >&2
if [ "$(printf '%s' "$adopted" | tr '[:upper:]' '[:lower:]')" = "$(printf '%s' "$group" | tr '[:upper:]' '[:lower:]')" ]; then
  echo "predown: both share the group. Delete what this environment made, one by one: az resource list --tag azd-env-name=$AZURE_ENV_NAME --output table" >&2
else
  echo "predown: delete this environment's own group: az group delete --name $group" >&2
fi
echo "predown: then remove from the service what docs/infrastructure.md lists under 'Remove everything'." >&2
exit 1
