// Everything that a service has inside API Management: backends, pool, marker, preview key, the API and its policy.
// Deployed into the resource group of the service, which may be an older one than the rest.

@description('Name of the API Management service, in this resource group.')
param apiManagementName string

@description('Name of the API: lower-case letters, digits and hyphens.')
param apiName string

@description('First part of the path under which the gateway serves the API.')
param apiPath string

@description('True when callers need a subscription key of API Management. The gate then cannot go through the gateway (gate.via: gateway), because the analyzer has none.')
param subscriptionRequired bool

@description('Origins whose pages may call the API, such as https://shop.example.com. None: no page may.')
param allowedOrigins array

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

@description('Client ID of the app registration that stands for the slots; read only where `slotAuthentication` is entra.')
param slotsClientId string

@description('URI of the Key Vault, ending in a slash.')
param vaultUri string

@description('Name of the secret that opens the preview route.')
param previewKeyName string

@description('Name of the pool.')
param poolName string

@description('Name of the marker.')
param markerName string

@description('True only when the pool does not exist yet (modules/traffic.bicep).')
param createPool bool

@description('True only when the marker does not exist yet (modules/traffic.bicep).')
param createMarker bool

@description('The slot that gets all traffic when the pool is created.')
@allowed([
  'blue'
  'green'
])
param liveSlot string

var methods = [
  'DELETE'
  'GET'
  'HEAD'
  'PATCH'
  'POST'
  'PUT'
]

// No origin matches a name under .invalid (RFC 2606), and the policy must name at least one.
var origins = empty(allowedOrigins) ? [
  'https://none.invalid'
] : allowedOrigins

var authentication = slotAuthentication == 'entra' ? '<authentication-managed-identity resource="api://${slotsClientId}" />' : ''

var policyWithOrigins = replace(loadTextContent('policy/api.xml'), '__ALLOWED_ORIGINS__', join(origins, '</origin><origin>'))
var policyWithPool = replace(policyWithOrigins, '__POOL__', poolName)
var policyWithMarker = replace(policyWithPool, '__MARKER__', markerName)
var policy = replace(policyWithMarker, '<!-- authentication -->', authentication)

resource service 'Microsoft.ApiManagement/service@2024-05-01' existing = {
  name: apiManagementName
}

module backends 'modules/backends.bicep' = {
  name: 'backends-${apiName}'
  params: {
    apiManagementName: apiManagementName
    blueUrl: blueUrl
    greenUrl: greenUrl
    slotAuthentication: slotAuthentication
    vaultUri: vaultUri
  }
}

module traffic 'modules/traffic.bicep' = {
  name: 'traffic-${apiName}'
  params: {
    apiManagementName: apiManagementName
    poolName: poolName
    markerName: markerName
    createPool: createPool
    createMarker: createMarker
    liveSlot: liveSlot
  }
  dependsOn: [
    backends
  ]
}

// The gateway reads the key from the vault as its own identity and again every four hours; it is never in a template.
resource previewKey 'Microsoft.ApiManagement/service/namedValues@2024-05-01' = {
  parent: service
  name: previewKeyName
  properties: {
    displayName: previewKeyName
    secret: true
    keyVault: {
      secretIdentifier: '${vaultUri}secrets/${previewKeyName}'
    }
  }
}

resource api 'Microsoft.ApiManagement/service/apis@2024-05-01' = {
  parent: service
  name: apiName
  properties: {
    displayName: apiName
    path: apiPath
    protocols: [
      'https'
    ]
    subscriptionRequired: subscriptionRequired
  }
  // hooks/preprovision.sh knows an API as its own by the backends beside it.
  dependsOn: [
    backends
  ]
}

resource operations 'Microsoft.ApiManagement/service/apis/operations@2024-05-01' = [
  for method in methods: {
    parent: api
    name: toLower(method)
    properties: {
      displayName: '${method} anything'
      method: method
      urlTemplate: '/*'
    }
  }
]

resource apiPolicy 'Microsoft.ApiManagement/service/apis/policies@2024-05-01' = {
  parent: api
  name: 'policy'
  properties: {
    format: 'xml'
    value: policy
  }
  dependsOn: [
    previewKey
    traffic
  ]
}
