// A new API Management service. It calls the slots as its system-assigned identity.

@description('Name of the service.')
param name string

@description('Region of the service.')
param location string

@description('Tags of the service.')
param tags object

@description('Tier. Every tier named here has weighted backend pools, and the pinned API version can make it (PremiumV2 it cannot: adopt one).')
@allowed([
  'Consumption'
  'Developer'
  'Basic'
  'BasicV2'
  'Standard'
  'StandardV2'
  'Premium'
])
param sku string

@description('Scale units; the Consumption tier has none.')
@minValue(1)
param units int

@description('Who the service says it is from.')
param publisherName string

@description('Where the service sends its own notices.')
param publisherEmail string

resource service 'Microsoft.ApiManagement/service@2024-05-01' = {
  // checkov:skip=CKV_AZURE_107: no virtual network in this template; the slots take only the identities of the gateway and the analyzer
  // checkov:skip=CKV_AZURE_174: a public API needs a public gateway
  name: name
  location: location
  tags: tags
  sku: {
    name: sku
    capacity: sku == 'Consumption' ? 0 : units
  }
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    publisherName: publisherName
    publisherEmail: publisherEmail
    customProperties: contains(sku, 'V2') || sku == 'Consumption' ? {} : {
      'Microsoft.WindowsAzure.ApiManagement.Gateway.Security.Protocols.Tls10': 'False'
      'Microsoft.WindowsAzure.ApiManagement.Gateway.Security.Protocols.Tls11': 'False'
      'Microsoft.WindowsAzure.ApiManagement.Gateway.Security.Backend.Protocols.Tls10': 'False'
      'Microsoft.WindowsAzure.ApiManagement.Gateway.Security.Backend.Protocols.Tls11': 'False'
    }
  }
}
