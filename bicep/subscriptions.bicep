// The second phase: Event Grid subscriptions. Event Grid checks that the function exists when a subscription is made,
// so this is deployed after the analyzer's code (hooks/postdeploy.sh; pipelines/provision-*.yml).

@description('Name of the analyzer\'s function app, in this resource group.')
param analyzerName string

@description('Name of the topic that pipelines publish to, in this resource group.')
param incomingTopicName string

@description('Name of the system topic of the slots\' storage account, in this resource group; empty for none (adopted apps).')
param storageTopicName string = ''

@description('Name of the system topic of the resource group; empty for none (adopted apps).')
param resourcesTopicName string = ''

@description('Deployment containers of the two slots.')
param packageContainers array = [
  'package-blue'
  'package-green'
]

@description('Names of the two apps, in this resource group; read only where there is a system topic.')
param siteNames array = []

@description('Name of the analyzer\'s storage account, in this resource group.')
param storageName string

@description('Name of the identity that writes dead letters, in this resource group.')
param deadLetterIdentityName string

var retryPolicy = {
  maxDeliveryAttempts: 30
  eventTimeToLiveInMinutes: 1440
}

// Resource Manager looks at the name of a resource that it does not deploy, too: it may not begin with nothing.
var packagesName = empty(storageTopicName) ? 'none' : storageTopicName
var writesName = empty(resourcesTopicName) ? 'none' : resourcesTopicName

resource site 'Microsoft.Web/sites@2024-04-01' existing = {
  name: analyzerName
}

resource onDeployment 'Microsoft.Web/sites/functions@2024-04-01' existing = {
  parent: site
  name: 'on_deployment'
}

resource storage 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: storageName
}

resource deadLetterIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' existing = {
  name: deadLetterIdentityName
}

resource incoming 'Microsoft.EventGrid/topics@2025-02-15' existing = {
  name: incomingTopicName
}

resource packages 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: packagesName
}

resource writes 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: writesName
}

resource announcements 'Microsoft.EventGrid/topics/eventSubscriptions@2025-02-15' = {
  parent: incoming
  name: 'analyzer'
  properties: {
    eventDeliverySchema: 'CloudEventSchemaV1_0'
    destination: {
      endpointType: 'AzureFunction'
      properties: {
        resourceId: onDeployment.id
        maxEventsPerBatch: 1
        preferredBatchSizeInKilobytes: 64
      }
    }
    filter: {
      includedEventTypes: [
        'Canary.DeploymentCompleted'
      ]
    }
    retryPolicy: retryPolicy
    deadLetterWithResourceIdentity: {
      identity: {
        type: 'UserAssigned'
        userAssignedIdentity: deadLetterIdentity.id
      }
      deadLetterDestination: {
        endpointType: 'StorageBlob'
        properties: {
          resourceId: storage.id
          blobContainerName: 'dead-letters'
        }
      }
    }
  }
}

resource newPackages 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = if (!empty(storageTopicName)) {
  parent: packages
  name: 'analyzer'
  properties: {
    eventDeliverySchema: 'EventGridSchema'
    destination: {
      endpointType: 'AzureFunction'
      properties: {
        resourceId: onDeployment.id
        maxEventsPerBatch: 1
        preferredBatchSizeInKilobytes: 64
      }
    }
    filter: {
      includedEventTypes: [
        'Microsoft.Storage.BlobCreated'
      ]
      advancedFilters: [
        {
          operatorType: 'StringBeginsWith'
          key: 'subject'
          values: map(packageContainers, container => '/blobServices/default/containers/${container}/')
        }
      ]
    }
    retryPolicy: retryPolicy
    deadLetterWithResourceIdentity: {
      identity: {
        type: 'UserAssigned'
        userAssignedIdentity: deadLetterIdentity.id
      }
      deadLetterDestination: {
        endpointType: 'StorageBlob'
        properties: {
          resourceId: storage.id
          blobContainerName: 'dead-letters'
        }
      }
    }
  }
}

// The analyzer's own writes to the pool raise this event too: only writes to the two sites may pass. Event Grid
// compares strings without regard to case, as these resource IDs need. No dead letters: modules/slot-events.bicep.
resource siteWrites 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = if (!empty(resourcesTopicName)) {
  parent: writes
  name: 'analyzer'
  properties: {
    eventDeliverySchema: 'EventGridSchema'
    destination: {
      endpointType: 'AzureFunction'
      properties: {
        resourceId: onDeployment.id
        maxEventsPerBatch: 1
        preferredBatchSizeInKilobytes: 64
      }
    }
    filter: {
      includedEventTypes: [
        'Microsoft.Resources.ResourceWriteSuccess'
      ]
      advancedFilters: [
        {
          operatorType: 'StringBeginsWith'
          key: 'subject'
          values: map(siteNames, siteName => resourceId('Microsoft.Web/sites', siteName))
        }
      ]
    }
    retryPolicy: retryPolicy
  }
}
