// What the rest of the deployment must know of an API Management service, new or adopted.

@description('Name of the service, in this resource group.')
param name string

resource service 'Microsoft.ApiManagement/service@2024-05-01' existing = {
  name: name
}

@description('Resource ID of the service: what the policy calls `api_management`.')
output id string = service.id

@description('Object ID of the system-assigned identity with which the gateway calls the slots. An adopted service must have one.')
output principalId string = service.identity.principalId

@description('Base URL of the gateway.')
output gatewayUrl string = service.properties.gatewayUrl
