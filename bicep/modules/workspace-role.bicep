// Lets the analyzer read the rows of the judged workspace: tables only, not the resources around them.

@description('Name of the workspace, in this resource group.')
param workspaceName string

@description('Object ID of the analyzer.')
param analyzerPrincipalId string

var roles = loadJsonContent('../roles.json')

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' existing = {
  name: workspaceName
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: workspace
  name: guid(workspace.id, analyzerPrincipalId, roles.logAnalyticsDataReader)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.logAnalyticsDataReader)
    principalId: analyzerPrincipalId
    principalType: 'ServicePrincipal'
  }
}

@description('What the policy calls `workspace`: the GUID by which it is queried.')
output workspaceGuid string = workspace.properties.customerId
