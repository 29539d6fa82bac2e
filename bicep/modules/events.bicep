// The analyzer's two topics: pipelines publish to one, the analyzer publishes what it did to the other. Both take
// Entra tokens only. Subscriptions come in a second phase (subscriptions.bicep), after the function exists.

@description('Name of the topic that pipelines publish Canary.DeploymentCompleted to.')
param incomingName string

@description('Name of the topic that the analyzer publishes its notices to.')
param outgoingName string

@description('Region of the topics.')
param location string

@description('Tags of the topics.')
param tags object

@description('Object ID of the analyzer, which may send to the outgoing topic and to no other.')
param analyzerPrincipalId string

@description('Resource ID of the identity that writes dead letters.')
param deadLetterIdentityId string

var roles = loadJsonContent('../roles.json')

resource incoming 'Microsoft.EventGrid/topics@2025-02-15' = {
  // checkov:skip=CKV_AZURE_193: pipelines on hosted agents publish from public addresses; they need the role EventGrid Data Sender
  name: incomingName
  location: location
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${deadLetterIdentityId}': {}
    }
  }
  properties: {
    inputSchema: 'CloudEventSchemaV1_0'
    disableLocalAuth: true
    minimumTlsVersionAllowed: '1.2'
    publicNetworkAccess: 'Enabled'
  }
}

resource outgoing 'Microsoft.EventGrid/topics@2025-02-15' = {
  // checkov:skip=CKV_AZURE_193: the analyzer publishes without a virtual network; it needs the role EventGrid Data Sender
  // checkov:skip=CKV_AZURE_191: the topic writes no dead letters of its own, so it needs no identity: a team's subscription brings its own
  name: outgoingName
  location: location
  tags: tags
  properties: {
    inputSchema: 'CloudEventSchemaV1_0'
    disableLocalAuth: true
    minimumTlsVersionAllowed: '1.2'
    publicNetworkAccess: 'Enabled'
  }
}

resource analyzerSends 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: outgoing
  name: guid(outgoing.id, analyzerPrincipalId, roles.eventGridDataSender)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.eventGridDataSender)
    principalId: analyzerPrincipalId
    principalType: 'ServicePrincipal'
  }
}

@description('Resource ID of the incoming topic.')
output incomingId string = incoming.id

@description('Where pipelines publish to.')
output incomingEndpoint string = incoming.properties.endpoint

@description('Where the analyzer publishes to.')
output outgoingEndpoint string = outgoing.properties.endpoint
