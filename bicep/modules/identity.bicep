// A user-assigned identity. It exists before whatever runs as it, so its roles do too.

@description('Name of the identity.')
param name string

@description('Region of the identity.')
param location string

@description('Tags of the identity.')
param tags object

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: name
  location: location
  tags: tags
}

@description('Resource ID of the identity.')
output id string = identity.id

@description('Name of the identity.')
output name string = identity.name

@description('Object ID: what roles are assigned to.')
output principalId string = identity.properties.principalId

@description('Client ID: what code asks for tokens with.')
output clientId string = identity.properties.clientId
