// The Key Vault: the preview key, function keys (where keys guard the slots) and the webhook URLs of the chat channels.
// Readers get Key Vault Secrets User; nobody gets a key by deploying this.

@description('Name of the vault: 3 to 24 letters, digits and hyphens.')
@minLength(3)
@maxLength(24)
param name string

@description('Region of the vault.')
param location string

@description('Tags of the vault.')
param tags object

@description('Object IDs of the identities that may read secrets.')
param readerPrincipalIds array

@description('Name of the secret that opens the preview route.')
param previewKeyName string

@description('True only when the preview key does not exist yet: API Management and the analyzer keep copies for hours, and a new key in the middle of a rollout would close the gate to the analyzer.')
param createPreviewKey bool

@description('The preview key; used only when it is created.')
@secure()
param previewKey string

var roles = loadJsonContent('../roles.json')

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  // checkov:skip=CKV_AZURE_109: no virtual network in this template: the vault is reached at its public endpoint, by role only
  // checkov:skip=CKV_AZURE_189: the same: public endpoint, and no access but by role
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 7
    enablePurgeProtection: true
    publicNetworkAccess: 'Enabled'
  }
}

module previewSecret 'preview-key.bicep' = if (createPreviewKey) {
  name: 'preview-key-${name}'
  params: {
    vaultName: vault.name
    previewKeyName: previewKeyName
    previewKey: previewKey
  }
}

resource readers 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for principalId in readerPrincipalIds: {
    scope: vault
    name: guid(vault.id, principalId, roles.keyVaultSecretsUser)
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsUser)
      principalId: principalId
      principalType: 'ServicePrincipal'
    }
  }
]

@description('Name of the vault.')
output name string = vault.name

@description('URI of the vault, ending in a slash.')
output uri string = vault.properties.vaultUri
