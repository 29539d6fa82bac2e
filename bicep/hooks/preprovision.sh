#!/usr/bin/env bash
# Before provisioning: find out what must not be written again, and make the app registration of the slots.
#
# Weights, marker and preview key are created once and then belong to the analyzer (modules/traffic.bicep). Each is
# created only when Azure itself has listed its neighbours and it was not among them. When Azure cannot be asked, the
# deployment stops here: a guess could move all production traffic. It stops as well where a backend or the API is
# somebody else's: main.bicep writes both, and their callers would meet new, empty apps.
#
# Reads the azd environment (AZURE_ENV_NAME, AZURE_SUBSCRIPTION_ID and the optional names of main.parameters.json);
# writes CREATE_POOL, CREATE_MARKER, CREATE_PREVIEW_KEY, LIVE_SLOT, FIRST_DEPLOYMENT and SLOTS_CLIENT_ID into it.
set -euo pipefail

pool=green-blue-pool
marker=current-slot-name
preview_key=canary-preview-key

fail() {
  echo "preprovision: $*" >&2
  exit 1
}

# The items of a list of Resource Manager that have this name, one expression of each; follows every page.
# $1 URL of the list, $2 name, $3 JMESPath of what to print of an item
named() {
  local url=$1 answer next
  while [ "$url" != - ]; do
    answer=$(az rest --method get --url "$url" --output tsv \
      --query "[nextLink || '-', join(',', value[?name=='$2'].$3)]") ||
      fail "cannot list ${1%%\?*}, so it is not known whether $2 exists. Nothing was changed. Sign in (az login), and have the role Reader there."
    answer=$(printf '%s' "$answer" | tr '\t' '\n')
    next=$(printf '%s\n' "$answer" | sed -n 1p)
    printf '%s\n' "$answer" | sed -n 2p | grep . || true
    url=$next
  done
}

remember() {
  azd env set "$1" "$2" || fail "cannot write $1 into the azd environment"
}

: "${AZURE_ENV_NAME:?preprovision: run by azd: azd provision}"
: "${AZURE_SUBSCRIPTION_ID:?preprovision: run by azd: azd provision}"
az account set --subscription "$AZURE_SUBSCRIPTION_ID" ||
  fail "not signed in to subscription $AZURE_SUBSCRIPTION_ID: az login, then azd auth login"

group=${CANARY_RESOURCE_GROUP:-rg-$AZURE_ENV_NAME}
group_exists=$(az group exists --name "$group") || fail "cannot ask whether resource group $group exists: az login"

# One resource that this environment made in its own group; empty when there is none.
# $1 type, $2 how its name begins
own() {
  local found
  [ "$group_exists" = true ] || return 0
  found=$(az resource list --resource-group "$group" --resource-type "$1" --output tsv \
    --query "[?tags.\"azd-env-name\"=='$AZURE_ENV_NAME' && starts_with(name, '${2:-}')].id") ||
    fail "cannot list the resources of $group. Nothing was changed. Have the role Reader there."
  [ "$(printf '%s\n' "$found" | grep -c .)" -le 1 ] || fail "more than one $1 of environment $AZURE_ENV_NAME in $group"
  printf '%s\n' "$found"
}

if [ -n "${API_MANAGEMENT_NAME:-}" ]; then
  service="/subscriptions/$AZURE_SUBSCRIPTION_ID/resourceGroups/${API_MANAGEMENT_RESOURCE_GROUP:-$group}/providers/Microsoft.ApiManagement/service/$API_MANAGEMENT_NAME"
else
  service=$(own Microsoft.ApiManagement/service)
fi

pool_id='' marker_id='' live=''
if [ -n "$service" ]; then
  pool_id=$(named "$service/backends?api-version=2024-05-01" "$pool" id)
  marker_id=$(named "$service/namedValues?api-version=2024-05-01" "$marker" id)
  live=$(named "$service/namedValues?api-version=2024-05-01" "$marker" properties.value)
fi

if [ -n "$service" ]; then
  api=${CANARY_SERVICE:-checkout}
  written=false
  for colour in blue green; do
    url=$(named "$service/backends?api-version=2024-05-01" "$colour-backend" properties.url)
    [ -n "$url" ] || continue
    written=true
    site=$(own Microsoft.Web/sites "$api-$colour-")
    case $url in
      "https://${site##*/}."* | "https://${site##*/}-"*) ;; # a default host name: with or without a hash of its own
      *) fail "$colour-backend of ${service##*/} serves $url, which is no app $api-$colour-... of environment $AZURE_ENV_NAME: provisioning would turn its traffic to new, empty apps. Nothing was changed. Another name for the service? azd env set CANARY_SERVICE <name>. Apps of your own? bicep/adopt.bicep. Nothing behind it any more? Remove what docs/infrastructure.md lists under 'Remove everything'" ;;
    esac
  done
  # gateway.bicep makes the API after the backends: without them it is not ours.
  if [ "$written" = false ]; then
    api_id=$(named "$service/apis?api-version=2024-05-01" "$api" id)
    [ -z "$api_id" ] ||
      fail "${service##*/} has an API $api that this environment did not make: provisioning would overwrite its policy. Nothing was changed. azd env set CANARY_SERVICE <another name>, or bicep/adopt.bicep"
  fi
fi

if [ -n "$marker_id" ]; then
  case $live in
    blue | green) ;;
    *) fail "$marker says '$live': set it to blue or green (az apim nv update), then provision again" ;;
  esac
  remember LIVE_SLOT "$live"
elif [ -n "$pool_id" ] && [ -z "${LIVE_SLOT:-}" ]; then
  fail "$pool exists and $marker does not: which slot is live? azd env set LIVE_SLOT blue (or green), then provision again"
fi
remember CREATE_POOL "$([ -n "$pool_id" ] && echo false || echo true)"
[ -n "$pool_id" ] || remember FIRST_DEPLOYMENT true
remember CREATE_MARKER "$([ -n "$marker_id" ] && echo false || echo true)"

vault=$(own Microsoft.KeyVault/vaults)
key_id=''
[ -z "$vault" ] || key_id=$(named "$vault/secrets?api-version=2024-11-01" "$preview_key" id)
remember CREATE_PREVIEW_KEY "$([ -n "$key_id" ] && echo false || echo true)"

if [ "${SLOT_AUTHENTICATION:-entra}" = entra ] && [ -z "${SLOTS_CLIENT_ID:-}" ]; then
  name="flex-canary-slots-$AZURE_ENV_NAME"
  help="Ask somebody who may register applications to run bicep/hooks/preprovision.sh, or give the client ID of a registration: azd env set SLOTS_CLIENT_ID <id>. Or let function keys guard the slots: azd env set SLOT_AUTHENTICATION keys"
  client=$(az ad app list --display-name "$name" --output tsv --query "[?displayName=='$name'].appId | [0]") ||
    fail "cannot look for the app registration $name. $help"
  if [ -z "$client" ]; then
    client=$(az ad app create --display-name "$name" --sign-in-audience AzureADMyOrg --query appId --output tsv) ||
      fail "cannot make the app registration $name. $help"
  fi
  graph=$(az cloud show --query endpoints.microsoftGraphResourceId --output tsv)
  # Tokens of version 2: their issuer is the one that authentication.bicep names.
  az rest --method patch --url "${graph%/}/v1.0/applications(appId='$client')" --headers Content-Type=application/json \
    --body "{\"identifierUris\": [\"api://$client\"], \"api\": {\"requestedAccessTokenVersion\": 2}}" ||
    fail "cannot set the audience of $name. $help"
  # Without a service principal nobody can get a token for it; with one already there, this says so and fails.
  az ad sp show --id "$client" --output none 2>/dev/null || az ad sp create --id "$client" --output none ||
    fail "cannot make the service principal of $name. $help"
  remember SLOTS_CLIENT_ID "$client"
fi
