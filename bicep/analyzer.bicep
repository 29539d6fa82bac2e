// The analyzer with all that is its own: identity, storage, telemetry, vault, topics, alerts, workbook. It knows of the
// slots and of API Management only what its parameters say, so main.bicep (everything new) and adopt.bicep (beside what
// a company already has) share it.

@description('Name of the function app.')
param name string

@description('Hash that makes global names unique.')
@minLength(5)
@maxLength(13)
param token string

@description('Region.')
param location string

@description('Tags.')
param tags object

@description('Resource ID of the judged workspace: where the slots\' requests are.')
param judgedWorkspaceId string

@description('Object IDs beside the analyzer\'s that may read the vault: API Management, which keeps the preview key as a named value.')
param vaultReaderPrincipalIds array

@description('App settings that hold a secret, such as TEAMS_WEBHOOK_URL. Each becomes a Key Vault reference to the secret of that name in lower case with hyphens (teams-webhook-url), which a person puts there.')
param channelSettings array

@description('Token audience of the slots: probes carry a token for it. Empty where App Service authentication is off.')
param slotAudience string

@description('E-mail addresses that alerts go to.')
param alertEmails array

@description('Name of the secret that opens the preview route.')
param previewKeyName string

@description('True only when the preview key does not exist yet.')
param createPreviewKey bool

@description('The preview key; used only when it is created.')
@secure()
param previewKey string

@description('NCRONTAB of the tick timer, in UTC.')
param tickSchedule string = '0 * * * * *'

@description('NCRONTAB of the timer that looks for new versions on idle slots, in UTC.')
param lookoutSchedule string = '30 */5 * * * *'

var roles = loadJsonContent('roles.json')
var vaultName = 'kv-canary-${token}'
var deadLetterContainer = 'dead-letters'
var incomingTopicName = 'evgt-deployments-${token}'

var channelReferences = toObject(channelSettings, setting => setting, setting => '@Microsoft.KeyVault(VaultName=${vaultName};SecretName=${toLower(replace(setting, '_', '-'))})')

module identity 'modules/identity.bicep' = {
  name: 'identity-${name}'
  params: {
    name: 'id-${name}'
    location: location
    tags: tags
  }
}

module deadLetterIdentity 'modules/identity.bicep' = {
  name: 'identity-dead-letters-${token}'
  params: {
    name: 'id-dead-letters-${token}'
    location: location
    tags: tags
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage-${name}'
  params: {
    name: 'stcanary${token}'
    location: location
    tags: tags
    sku: 'Standard_ZRS'
    containers: [
      'package'
      deadLetterContainer
    ]
    queues: [
      'canary-ticks'
      'canary-ticks-poison'
    ]
    tables: [
      'canary'
    ]
  }
}

module storageRoles 'modules/storage-roles.bicep' = {
  name: 'storage-roles-${name}'
  params: {
    storageName: storage.outputs.name
    principalId: identity.outputs.principalId
    roleIds: [
      roles.storageBlobDataOwner
      roles.storageQueueDataContributor
      roles.storageTableDataContributor
    ]
  }
}

module deadLetterRole 'modules/dead-letter-role.bicep' = {
  name: 'dead-letter-role-${token}'
  params: {
    storageName: storage.outputs.name
    containerName: deadLetterContainer
    principalId: deadLetterIdentity.outputs.principalId
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring-${name}'
  params: {
    workspaceName: 'log-${name}'
    componentName: 'appi-${name}'
    location: location
    tags: tags
  }
}

module telemetryRole 'modules/component-role.bicep' = {
  name: 'telemetry-role-${name}'
  params: {
    componentName: monitoring.outputs.componentName
    principalId: identity.outputs.principalId
  }
}

module vault 'modules/vault.bicep' = {
  name: 'vault-${token}'
  params: {
    name: vaultName
    location: location
    tags: tags
    readerPrincipalIds: concat(vaultReaderPrincipalIds, [
      identity.outputs.principalId
    ])
    previewKeyName: previewKeyName
    createPreviewKey: createPreviewKey
    previewKey: previewKey
  }
}

module events 'modules/events.bicep' = {
  name: 'events-${token}'
  params: {
    incomingName: incomingTopicName
    outgoingName: 'evgt-notices-${token}'
    location: location
    tags: tags
    analyzerPrincipalId: identity.outputs.principalId
    deadLetterIdentityId: deadLetterIdentity.outputs.id
  }
}

module app 'modules/flex-app.bicep' = {
  name: 'app-${name}'
  params: {
    name: name
    location: location
    tags: union(tags, {
      'azd-service-name': 'analyzer'
    })
    identityName: identity.outputs.name
    storageName: storage.outputs.name
    packageContainer: 'package'
    componentName: monitoring.outputs.componentName
    pythonVersion: '3.13'
    instanceMemoryMb: 2048
    maximumInstances: 40
    settings: union(channelReferences, {
      AZURE_CLIENT_ID: identity.outputs.clientId
      CANARY_POLICY: 'canary.yaml'
      LOOKOUT_SCHEDULE: lookoutSchedule
      NOTICES_TOPIC_URL: events.outputs.outgoingEndpoint
      PREVIEW_KEY: '@Microsoft.KeyVault(VaultName=${vaultName};SecretName=${previewKeyName})'
      SLOT_AUDIENCE: slotAudience
      STATE_TABLE: 'canary'
      STATE_URL: storage.outputs.tableEndpoint
      TICK_SCHEDULE: tickSchedule
      // Alerts and the workbook read these rows one by one: a tick that was sampled away would be a false alarm.
      AzureFunctionsJobHost__logging__applicationInsights__samplingSettings__isEnabled: 'false'
    })
  }
  dependsOn: [
    storageRoles
    telemetryRole
    vault
  ]
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts-${token}'
  params: {
    namePrefix: name
    location: location
    tags: tags
    analyzerWorkspaceId: monitoring.outputs.workspaceId
    emails: alertEmails
  }
}

module lostAnnouncements 'modules/lost-events.bicep' = {
  name: 'lost-announcements-${token}'
  params: {
    topicName: incomingTopicName
    topicId: events.outputs.incomingId
    tags: tags
    actionGroupId: alerts.outputs.actionGroupId
  }
}

module workbook 'modules/workbook.bicep' = {
  name: 'workbook-${token}'
  params: {
    displayName: 'Flex Canary (${name})'
    location: location
    tags: tags
    analyzerWorkspaceId: monitoring.outputs.workspaceId
    judgedWorkspaceId: judgedWorkspaceId
  }
}

@description('Object ID of the analyzer.')
output principalId string = identity.outputs.principalId

@description('Name of the function app.')
output name string = app.outputs.name

@description('Base URL of the function app.')
output url string = app.outputs.url

@description('Resource ID of the identity that writes dead letters.')
output deadLetterIdentityId string = deadLetterIdentity.outputs.id

@description('Name of the identity that writes dead letters.')
output deadLetterIdentityName string = deadLetterIdentity.outputs.name

@description('Name of the storage account with state, queues and dead letters.')
output storageName string = storage.outputs.name

@description('Name of the topic that pipelines publish to.')
output incomingTopicName string = incomingTopicName

@description('Where pipelines publish to.')
output incomingTopicEndpoint string = events.outputs.incomingEndpoint

@description('Resource ID of the action group of the alerts.')
output actionGroupId string = alerts.outputs.actionGroupId

@description('Name of the vault.')
output vaultName string = vault.outputs.name

@description('URI of the vault, ending in a slash.')
output vaultUri string = vault.outputs.uri
