// The secret that opens the preview route. Made once: vault.bicep asks for it only when it does not exist, and
// Resource Manager looks again by itself (traffic.bicep says why two locks).

@description('Name of the vault, in this resource group.')
param vaultName string

@description('Name of the secret.')
param previewKeyName string

@description('The preview key.')
@secure()
param previewKey string

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

@onlyIfNotExists()
resource secret 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = {
  // checkov:skip=CKV_AZURE_41: an expiry would close the gate of every rollout at an hour that nobody chose; docs/infrastructure.md says how to change the key
  parent: vault
  name: previewKeyName
  properties: {
    contentType: 'text/plain'
    value: previewKey
  }
}
