// Lets a pipeline's identity deploy to the two slots. It cannot move traffic.

@description('Object ID of the pipeline (the service principal of its OIDC connection).')
param pipelinePrincipalId string

@description('Name of the blue app, in this resource group.')
param blueName string

@description('Name of the green app, in this resource group.')
param greenName string

var roles = loadJsonContent('../roles.json')

resource blue 'Microsoft.Web/sites@2024-04-01' existing = {
  name: blueName
}

resource green 'Microsoft.Web/sites@2024-04-01' existing = {
  name: greenName
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
