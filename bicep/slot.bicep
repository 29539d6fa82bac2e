// One slot: a Flex Consumption app, its identity and its roles. Used twice by main.bicep; the two calls differ in name
// and colour only, because whatever else differs would be judged as if the new version had done it.

@description('Name of the app.')
param name string

@description('Which slot this is.')
@allowed([
  'blue'
  'green'
])
param colour string

@description('Region of the app.')
param location string

@description('Tags of the app.')
param tags object

@description('Storage account that both slots share, in this resource group.')
param storageName string

@description('Application Insights component that both slots share, in this resource group.')
param componentName string

@description('Version of Python.')
param pythonVersion string

@description('Memory of an instance in megabytes.')
@allowed([
  512
  2048
  4096
])
param instanceMemoryMb int

@description('Most instances that the app scales to.')
@minValue(40)
@maxValue(1000)
param maximumInstances int

@description('Instances that are always running: the way back stays warm without them, because the analyzer probes both slots at each tick.')
@minValue(0)
@maxValue(20)
param alwaysReadyInstances int

@description('Settings of the application, equal for both slots.')
param applicationSettings object

@description('Client ID of the app registration that stands for the slots; empty leaves App Service authentication off, and function keys guard the app.')
param slotsClientId string

@description('Object IDs of the identities that may call the app: API Management and the analyzer.')
param callerPrincipalIds array

var roles = loadJsonContent('roles.json')

// The comparison is honest only if both slots keep the same rows: requests are never sampled, in either of them.
var telemetrySettings = {
  AzureFunctionsJobHost__logging__applicationInsights__samplingSettings__isEnabled: 'true'
  AzureFunctionsJobHost__logging__applicationInsights__samplingSettings__excludedTypes: 'Request;Exception'
}

module identity 'modules/identity.bicep' = {
  name: 'identity-${name}'
  params: {
    name: 'id-${name}'
    location: location
    tags: tags
  }
}

module storageRoles 'modules/storage-roles.bicep' = {
  name: 'storage-roles-${name}'
  params: {
    storageName: storageName
    principalId: identity.outputs.principalId
    roleIds: [
      roles.storageBlobDataOwner
      roles.storageQueueDataContributor
      roles.storageTableDataContributor
    ]
  }
}

module telemetryRole 'modules/component-role.bicep' = {
  name: 'telemetry-role-${name}'
  params: {
    componentName: componentName
    principalId: identity.outputs.principalId
  }
}

module app 'modules/flex-app.bicep' = {
  name: 'app-${name}'
  params: {
    name: name
    location: location
    tags: tags
    identityName: identity.outputs.name
    storageName: storageName
    packageContainer: 'package-${colour}'
    componentName: componentName
    pythonVersion: pythonVersion
    instanceMemoryMb: instanceMemoryMb
    maximumInstances: maximumInstances
    alwaysReadyInstances: alwaysReadyInstances
    settings: union(applicationSettings, telemetrySettings, {
      SLOT_NAME: colour
    })
  }
  dependsOn: [
    storageRoles
    telemetryRole
  ]
}

module authentication 'modules/authentication.bicep' = if (!empty(slotsClientId)) {
  name: 'authentication-${name}'
  params: {
    siteName: app.outputs.name
    clientId: slotsClientId
    callerPrincipalIds: callerPrincipalIds
  }
}

@description('Resource ID of the app.')
output id string = app.outputs.id

@description('Name of the app.')
output name string = app.outputs.name

@description('Base URL of the app.')
output url string = app.outputs.url
