// The custom role that moves traffic: read and write backends and named values of one API Management service, how a
// write of theirs went, nothing else. Deployed into the resource group of the service.

@description('Name of the API Management service, in this resource group.')
param apiManagementName string

@description('Object ID of the analyzer.')
param analyzerPrincipalId string

@description('Object ID of the group of people who may move traffic by hand when the analyzer is down (canary shift --direct); empty for none.')
param operatorsGroupId string

resource service 'Microsoft.ApiManagement/service@2024-05-01' existing = {
  name: apiManagementName
}

resource role 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(service.id, 'flex-canary-traffic')
  properties: {
    roleName: 'Flex Canary traffic (${apiManagementName})'
    description: 'Reads and writes backend pools and named values of one API Management service, and reads how a write went.'
    type: 'CustomRole'
    permissions: [
      {
        actions: [
          'Microsoft.ApiManagement/service/backends/read'
          'Microsoft.ApiManagement/service/backends/write'
          'Microsoft.ApiManagement/service/namedValues/read'
          'Microsoft.ApiManagement/service/namedValues/write'
          // A named value is written by a long-running operation, whose result is polled: under /tenant/ in the
          // examples of the REST definition; the list of the provider's operations has both.
          'Microsoft.ApiManagement/service/operationresults/read'
          'Microsoft.ApiManagement/service/tenant/operationResults/read'
        ]
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
    assignableScopes: [
      resourceGroup().id
    ]
  }
}

resource analyzerMoves 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: service
  name: guid(service.id, analyzerPrincipalId, role.id)
  properties: {
    roleDefinitionId: role.id
    principalId: analyzerPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource operatorsMove 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(operatorsGroupId)) {
  scope: service
  name: guid(service.id, operatorsGroupId, role.id)
  properties: {
    roleDefinitionId: role.id
    principalId: operatorsGroupId
    principalType: 'Group'
  }
}
