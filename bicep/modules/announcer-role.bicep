// Lets a pipeline's identity announce deployments: the topic takes no keys.

@description('Object ID of the pipeline (the service principal of its OIDC connection).')
param pipelinePrincipalId string

@description('Name of the incoming topic, in this resource group.')
param incomingTopicName string

var roles = loadJsonContent('../roles.json')

resource incoming 'Microsoft.EventGrid/topics@2025-02-15' existing = {
  name: incomingTopicName
}

resource announces 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: incoming
  name: guid(incoming.id, pipelinePrincipalId, roles.eventGridDataSender)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.eventGridDataSender)
    principalId: pipelinePrincipalId
    principalType: 'ServicePrincipal'
  }
}
