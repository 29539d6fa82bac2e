#!/usr/bin/env bash
# After the analyzer's code is there: the Event Grid subscriptions (Event Grid checks that the function exists), and,
# on the very first deployment only, the sample service on both slots and a policy to begin with.
#
# Reads the azd environment: the outputs of main.bicep.
set -euo pipefail
cd "$(dirname "$0")/../.."

fail() {
  echo "postdeploy: $*" >&2
  exit 1
}

for name in AZURE_SUBSCRIPTION_ID AZURE_RESOURCE_GROUP ANALYZER_NAME ANALYZER_STORAGE_NAME DEAD_LETTER_IDENTITY_NAME \
  INCOMING_TOPIC_NAME STORAGE_TOPIC_NAME RESOURCES_TOPIC_NAME BLUE_NAME GREEN_NAME BLUE_URL GREEN_URL \
  API_MANAGEMENT_ID GATEWAY_URL WORKSPACE_GUID CANARY_SERVICE CANARY_URL; do
  [ -n "${!name:-}" ] || fail "$name is not set: run by azd after azd provision: azd deploy"
done
az account set --subscription "$AZURE_SUBSCRIPTION_ID" || fail "not signed in to $AZURE_SUBSCRIPTION_ID: az login"

az deployment group create --name flex-canary-subscriptions --resource-group "$AZURE_RESOURCE_GROUP" --output none \
  --template-file bicep/subscriptions.bicep --parameters \
  analyzerName="$ANALYZER_NAME" incomingTopicName="$INCOMING_TOPIC_NAME" storageTopicName="$STORAGE_TOPIC_NAME" \
  resourcesTopicName="$RESOURCES_TOPIC_NAME" siteNames="[\"$BLUE_NAME\",\"$GREEN_NAME\"]" \
  storageName="$ANALYZER_STORAGE_NAME" deadLetterIdentityName="$DEAD_LETTER_IDENTITY_NAME" ||
  fail "no Event Grid subscriptions. A new function can take some minutes to be known: azd deploy again"

# Only until the first deployment is through: later, what runs in the slots belongs to the team's pipeline.
if [ "${FIRST_DEPLOYMENT:-false}" = true ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cp -R sample_function/. "$work/sample"
  find "$work/sample" \( -name __pycache__ -o -name 'local.settings*.json' \) -prune -exec rm -rf {} +
  echo 0.1.0 >"$work/sample/version.txt"
  (cd "$work/sample" && python3 -m zipfile -c ../sample.zip ./*)
  for app in "$BLUE_NAME" "$GREEN_NAME"; do
    functions=$(az functionapp function list --resource-group "$AZURE_RESOURCE_GROUP" --name "$app" \
      --query 'length(@)' --output tsv) || fail "cannot list the functions of $app"
    if [ "$functions" != 0 ]; then
      echo "postdeploy: $app has code already: it stays"
      continue
    fi
    az functionapp deployment source config-zip --resource-group "$AZURE_RESOURCE_GROUP" --name "$app" \
      --src "$work/sample.zip" --build-remote true --output none || fail "the sample service did not reach $app: azd deploy again"
  done

  if [ "${SLOT_AUTHENTICATION:-entra}" = entra ]; then
    gate='{path: /api/health, via: direct}' # the analyzer's probes carry a token
  else
    gate="{path: /api/health, via: gateway, gateway_url: $GATEWAY_URL}"
  fi
  sites="/subscriptions/$AZURE_SUBSCRIPTION_ID/resourceGroups/$AZURE_RESOURCE_GROUP/providers/Microsoft.Web/sites"
  cat >"$work/canary.yaml" <<YAML
# Made by the first deployment. Change it, and put it in force with: canary config push canary.yaml
services:
  $CANARY_SERVICE:
    preset: standard
    mode: act
    api_management: $API_MANAGEMENT_ID
    pool: green-blue-pool
    marker: current-slot-name
    workspace: $WORKSPACE_GUID
    slots:
      blue:
        backend: blue-backend
        url: $BLUE_URL
        role_name: $BLUE_NAME
        site: $sites/$BLUE_NAME
        deployment_container: package-blue
      green:
        backend: green-backend
        url: $GREEN_URL
        role_name: $GREEN_NAME
        site: $sites/$GREEN_NAME
        deployment_container: package-green
    gate: $gate
YAML

  key=$(az functionapp keys list --resource-group "$AZURE_RESOURCE_GROUP" --name "$ANALYZER_NAME" \
    --query functionKeys.default --output tsv) || fail "cannot read the analyzer's function key"
  # The key travels on standard input: arguments can be read by every process of the machine.
  ask() { printf 'header = "x-functions-key: %s"\n' "$key" | curl --config - --silent --show-error --fail-with-body --retry 5 --retry-all-errors "$@"; }
  config=$(ask "$CANARY_URL/api/config") || fail "the analyzer does not answer at $CANARY_URL/api/config: azd deploy again"
  if printf '%s' "$config" | grep -E '"source": *"pushed"' >/dev/null; then
    echo "postdeploy: a policy was pushed before: it stays in force"
  else
    ask --request PUT --data-binary "@$work/canary.yaml" --output /dev/null "$CANARY_URL/api/config" ||
      fail "the analyzer did not take the policy: canary config push, with CANARY_URL and CANARY_KEY set"
  fi
  azd env set FIRST_DEPLOYMENT false
fi
echo "postdeploy: done. The analyzer is $CANARY_URL, the service $GATEWAY_URL"
