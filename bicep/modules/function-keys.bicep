// Copies the host keys of both slots into the Key Vault, where keys guard the slots. A key goes from Resource Manager
// into the vault; it is in no parameter, no output and no log.

@description('Name of the vault, in this resource group.')
param vaultName string

@description('Name of the blue app, in this resource group.')
param blueName string

@description('Name of the green app, in this resource group.')
param greenName string

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

resource blue 'Microsoft.Web/sites@2024-04-01' existing = {
  name: blueName
}

resource green 'Microsoft.Web/sites@2024-04-01' existing = {
  name: greenName
}

resource blueKey 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = {
  // checkov:skip=CKV_AZURE_41: host keys do not expire; an expired copy would cut all traffic off
  parent: vault
  name: 'blue-function-key'
  properties: {
    contentType: 'text/plain'
    value: listKeys('${blue.id}/host/default', '2024-04-01').functionKeys.default
  }
}

resource greenKey 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = {
  // checkov:skip=CKV_AZURE_41: host keys do not expire; an expired copy would cut all traffic off
  parent: vault
  name: 'green-function-key'
  properties: {
    contentType: 'text/plain'
    value: listKeys('${green.id}/host/default', '2024-04-01').functionKeys.default
  }
}
