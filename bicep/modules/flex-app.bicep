// One function app on Flex Consumption with a plan of its own (the plan type carries one app only). It reaches its
// storage and Application Insights by a user-assigned identity; there is no key in its settings.

@description('Name of the app. The host derives its lock names from the first 32 characters, and two slots share a storage account: longer names could collide.')
@minLength(2)
@maxLength(32)
param name string

@description('Region of the app.')
param location string

@description('Tags of the app and its plan.')
param tags object

@description('Name of the user-assigned identity, in this resource group.')
param identityName string

@description('Name of the storage account, in this resource group.')
param storageName string

@description('Container that the deployment package goes to.')
param packageContainer string

@description('Name of the Application Insights component, in this resource group.')
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

@description('Instances of the HTTP functions that are always running; 0 scales to zero.')
@minValue(0)
@maxValue(20)
param alwaysReadyInstances int = 0

@description('Settings of this app alone, by name. Secrets are Key Vault references, never values.')
param settings object = {}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' existing = {
  name: identityName
}

resource storage 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: storageName
}

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

var hostSettings = {
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identity.properties.clientId
  AzureWebJobsStorage__blobServiceUri: storage.properties.primaryEndpoints.blob
  AzureWebJobsStorage__queueServiceUri: storage.properties.primaryEndpoints.queue
  AzureWebJobsStorage__tableServiceUri: storage.properties.primaryEndpoints.table
  APPLICATIONINSIGHTS_CONNECTION_STRING: component.properties.ConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identity.properties.clientId};Authorization=AAD'
}

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  // checkov:skip=CKV_AZURE_225: zone redundancy of Flex Consumption is offered in few regions only; a slot that loses its zone is what the judge is for
  name: 'plan-${name}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

resource app 'Microsoft.Web/sites@2024-04-01' = {
  // checkov:skip=CKV_AZURE_17: callers prove themselves by an Entra token or a function key, not by a client certificate
  // checkov:skip=CKV_AZURE_222: public by design: the app is reached without a virtual network, and only by known identities or keys
  // checkov:skip=CKV_AZURE_18: the site properties of other plans (HTTP version, FTP state, instance counts) are to be left out on Flex Consumption
  // checkov:skip=CKV_AZURE_67: the same, of the HTTP version
  // checkov:skip=CKV_AZURE_78: the same, of FTP; its passwords are switched off below
  // checkov:skip=CKV_AZURE_212: the same, of instances: the plan scales from zero by itself
  // checkov:skip=CKV_AZURE_213: a health check on Flex Consumption would restart instances behind the judge's back; the analyzer probes both slots at each tick
  name: name
  location: location
  tags: tags
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identity.id
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${storage.properties.primaryEndpoints.blob}${packageContainer}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identity.id
          }
        }
      }
      runtime: {
        name: 'python'
        version: pythonVersion
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMb
        maximumInstanceCount: maximumInstances
        alwaysReady: alwaysReadyInstances == 0 ? [] : [
          {
            name: 'http'
            instanceCount: alwaysReadyInstances
          }
        ]
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      appSettings: map(items(union(settings, hostSettings)), setting => {
        name: setting.key
        value: setting.value
      })
    }
  }
}

// Deployments authenticate by Entra; user name and password are off.
resource scmPasswords 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'scm'
  properties: {
    allow: false
  }
}

resource ftpPasswords 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'ftp'
  properties: {
    allow: false
  }
  dependsOn: [
    scmPasswords
  ]
}

@description('Resource ID of the app.')
output id string = app.id

@description('Name of the app.')
output name string = app.name

@description('Base URL of the app.')
output url string = 'https://${app.properties.defaultHostName}'
