// Where Azure itself tells of changes at the slots: a blob in a deployment container, a write to a site. Both only wake
// the analyzer up. Deployed into the resource group of the slots.

@description('Name of the system topic of the storage account.')
param storageTopicName string

@description('Name of the system topic of the resource group.')
param resourcesTopicName string

@description('Region of the storage account.')
param location string

@description('Tags of the topics.')
param tags object

@description('Name of the storage account with the deployment containers, in this resource group.')
param storageName string

@description('Resource ID of the identity that writes dead letters.')
param deadLetterIdentityId string

resource storage 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: storageName
}

resource packages 'Microsoft.EventGrid/systemTopics@2025-02-15' = {
  name: storageTopicName
  location: location
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${deadLetterIdentityId}': {}
    }
  }
  properties: {
    source: storage.id
    topicType: 'Microsoft.Storage.StorageAccounts'
  }
}

// Resource groups are a global source, and system topics of global sources carry no identity: their events cannot be
// dead-lettered into an account without keys. They are nudges; the timer finds what one that got lost would have told.
resource writes 'Microsoft.EventGrid/systemTopics@2025-02-15' = {
  name: resourcesTopicName
  location: 'global'
  tags: tags
  properties: {
    source: resourceGroup().id
    topicType: 'Microsoft.Resources.ResourceGroups'
  }
}

@description('Resource ID of the system topic of the storage account.')
output storageTopicId string = packages.id
