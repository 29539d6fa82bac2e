// What a pipeline's identity may do: deploy to the two slots and announce it. It cannot move traffic.

@description('Object ID of the pipeline (the service principal of its OIDC connection).')
param pipelinePrincipalId string

@description('Name of the blue app, in this resource group.')
param blueName string

@description('Name of the green app, in this resource group.')
param greenName string

@description('Name of the incoming topic, in this resource group.')
param incomingTopicName string

var roles = loadJsonContent('../roles.json')

resource blue 'Microsoft.Web/sites@2024-04-01' existing = {
  name: blueName
}

resource green 'Microsoft.Web/sites@2024-04-01' existing = {
  name: greenName
}

resource incoming 'Microsoft.EventGrid/topics@2025-02-15' existing = {
  name: incomingTopicName
}

resource deploysToBlue 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: blue
  name: guid(blue.id, pipelinePrincipalId, roles.websiteContributor)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.websiteContributor)
    principalId: pipelinePrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource deploysToGreen 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: green
  name: guid(green.id, pipelinePrincipalId, roles.websiteContributor)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.websiteContributor)
    principalId: pipelinePrincipalId
    principalType: 'ServicePrincipal'
  }
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
