// The two backends: a slot's URL and, where keys guard the slots, the named value that holds its function key. Writing
// them again changes no weight: weights are properties of the pool.

@description('Name of the API Management service, in this resource group.')
param apiManagementName string

@description('Base URL of the blue slot.')
param blueUrl string

@description('Base URL of the green slot.')
param greenUrl string

@description('How the gateway proves itself to the slots.')
@allowed([
  'entra'
  'keys'
])
param slotAuthentication string

@description('URI of the Key Vault, ending in a slash, that holds the function keys.')
param vaultUri string

var slots = [
  {
    colour: 'blue'
    url: blueUrl
  }
  {
    colour: 'green'
    url: greenUrl
  }
]

var keyedSlots = slotAuthentication == 'keys' ? slots : []

resource service 'Microsoft.ApiManagement/service@2024-05-01' existing = {
  name: apiManagementName
}

resource functionKeys 'Microsoft.ApiManagement/service/namedValues@2024-05-01' = [
  for slot in keyedSlots: {
    parent: service
    name: '${slot.colour}-function-key'
    properties: {
      displayName: '${slot.colour}-function-key'
      secret: true
      keyVault: {
        secretIdentifier: '${vaultUri}secrets/${slot.colour}-function-key'
      }
    }
  }
]

resource backends 'Microsoft.ApiManagement/service/backends@2024-05-01' = [
  for slot in slots: {
    parent: service
    name: '${slot.colour}-backend'
    properties: {
      description: 'The ${slot.colour} slot.'
      type: 'Single'
      protocol: 'http'
      url: slot.url
      tls: {
        validateCertificateChain: true
        validateCertificateName: true
      }
      credentials: slotAuthentication == 'keys' ? {
        header: {
          'x-functions-key': [
            '{{${slot.colour}-function-key}}'
          ]
        }
      } : null
    }
    dependsOn: [
      functionKeys
    ]
  }
]
