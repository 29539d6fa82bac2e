// Flex Canary, everything new but, where wanted, API Management: two slots behind a pool, and the analyzer that moves
// traffic between them. `azd up` deploys it (azure.yaml at the root of the repository). Deploying it again, also in the
// middle of a rollout, leaves weights and marker as they are: modules/traffic.bicep says how.

targetScope = 'subscription'

@description('Name of the environment. Names of resources derive from it.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Region of everything.')
@metadata({
  azd: {
    type: 'location'
  }
})
param location string

@description('Name of the resource group; empty for rg-<environment>. It must be this environment\'s own: its tags are written, and azd down deletes it.')
param resourceGroupName string = ''

@description('Name of the service, as the policy (canary.yaml) calls it: lower-case letters, digits and hyphens.')
@minLength(2)
@maxLength(14)
param serviceName string = 'checkout'

@description('Name of an API Management service to adopt; empty makes a new one. An adopted one must have a system-assigned identity.')
param apiManagementName string = ''

@description('Resource group of the adopted API Management service; empty for this deployment\'s own.')
param apiManagementResourceGroup string = ''

@description('Tier of a new API Management service. Every tier named here has weighted backend pools, and the pinned API version can make it (PremiumV2 it cannot: adopt one).')
@allowed([
  'Consumption'
  'Developer'
  'Basic'
  'BasicV2'
  'Standard'
  'StandardV2'
  'Premium'
])
param apiManagementSku string = 'BasicV2'

@description('Scale units of a new API Management service; the Consumption tier has none.')
@minValue(1)
param apiManagementUnits int = 1

@description('Who a new API Management service says it is from.')
param publisherName string = 'Flex Canary'

@description('Where a new API Management service sends its own notices.')
param publisherEmail string

@description('Origins whose pages may call the API, such as https://shop.example.com.')
param allowedOrigins array = []

@description('True when callers need a subscription key of API Management; gate.via: gateway then cannot be used.')
param subscriptionRequired bool = false

@description('How the gateway proves itself to the slots: by its identity (Entra), or by function keys that live in the Key Vault.')
@allowed([
  'entra'
  'keys'
])
param slotAuthentication string = 'entra'

@description('Client ID of the app registration that stands for the slots, needed for entra; hooks/preprovision.sh makes one.')
param slotsClientId string = ''

@description('Version of Python of the slots.')
param pythonVersion string = '3.13'

@description('Memory of a slot\'s instances in megabytes.')
@allowed([
  512
  2048
  4096
])
param instanceMemoryMb int = 2048

@description('Most instances that a slot scales to.')
@minValue(40)
@maxValue(1000)
param maximumInstances int = 100

@description('Instances of each slot that are always running; 0 scales to zero.')
@minValue(0)
@maxValue(20)
param alwaysReadyInstances int = 0

@description('Settings of the application, equal for both slots.')
param applicationSettings object = {}

@description('Gigabytes a day that the judged workspace takes in; -1 for no cap.')
param dailyCapGb int = -1

@description('True only when the pool does not exist yet; hooks/preprovision.sh finds out.')
param createPool bool = false

@description('True only when the marker does not exist yet; hooks/preprovision.sh finds out.')
param createMarker bool = false

@description('The slot that gets all traffic when the pool is created.')
@allowed([
  'blue'
  'green'
])
param liveSlot string = 'blue'

@description('True only when the preview key does not exist yet; hooks/preprovision.sh finds out.')
param createPreviewKey bool = false

@description('The preview key; used only when it is created. Leave the default: nobody has to know it.')
// checkov:skip=CKV_AZURE_131: newGuid() is no fixed value: each deployment draws another, and only the first is kept
@secure()
param previewKey string = newGuid()

@description('App settings of the analyzer that hold a secret, such as TEAMS_WEBHOOK_URL; each becomes a Key Vault reference.')
param channelSettings array = []

@description('E-mail addresses that alerts go to.')
param alertEmails array = []

@description('Object ID of the pipeline\'s service principal; empty for none.')
param pipelinePrincipalId string = ''

@description('Object ID of the group of people who may move traffic by hand when the analyzer is down; empty for none.')
param operatorsGroupId string = ''

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = {
  'azd-env-name': environmentName
}
var groupName = empty(resourceGroupName) ? 'rg-${environmentName}' : resourceGroupName
var newApiManagement = empty(apiManagementName)
var gatewayName = newApiManagement ? 'apim-canary-${token}' : apiManagementName
var gatewayGroupName = newApiManagement || empty(apiManagementResourceGroup) ? groupName : apiManagementResourceGroup
var analyzerName = 'func-canary-${token}'
var blueName = '${serviceName}-blue-${take(token, 12)}'
var greenName = '${serviceName}-green-${take(token, 11)}'
var previewKeyName = 'canary-preview-key'
var poolName = 'green-blue-pool'
var markerName = 'current-slot-name'
var withEntra = slotAuthentication == 'entra'

// Without it nothing would guard the slots: App Service authentication stays off where there is no registration.
var clientId = withEntra && empty(slotsClientId) ? fail('slotsClientId is empty: azd env set SLOTS_CLIENT_ID <client ID of the app registration that stands for the slots> (bicep/hooks/preprovision.sh makes one), or SLOT_AUTHENTICATION keys.') : withEntra ? slotsClientId : ''

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: groupName
  location: location
  tags: tags
}

module newService 'modules/api-management.bicep' = if (newApiManagement) {
  scope: group
  name: 'api-management'
  params: {
    name: gatewayName
    location: location
    tags: tags
    sku: apiManagementSku
    units: apiManagementUnits
    publisherName: publisherName
    publisherEmail: publisherEmail
  }
}

module apiManagement 'modules/api-management-reader.bicep' = {
  scope: resourceGroup(gatewayGroupName)
  name: 'api-management-reader-${token}'
  params: {
    name: gatewayName
  }
  dependsOn: [
    group
    newService
  ]
}

module slotsMonitoring 'modules/monitoring.bicep' = {
  scope: group
  name: 'monitoring-slots'
  params: {
    workspaceName: 'log-${serviceName}-${token}'
    componentName: 'appi-${serviceName}-${token}'
    location: location
    tags: tags
    dailyCapGb: dailyCapGb
  }
}

module slotsStorage 'modules/storage.bicep' = {
  scope: group
  name: 'storage-slots'
  params: {
    name: 'stslots${token}'
    location: location
    tags: tags
    sku: 'Standard_LRS'
    containers: [
      'package-blue'
      'package-green'
    ]
  }
}

module analyzer 'analyzer.bicep' = {
  scope: group
  name: 'analyzer'
  params: {
    name: analyzerName
    token: token
    location: location
    tags: tags
    judgedWorkspaceId: slotsMonitoring.outputs.workspaceId
    vaultReaderPrincipalIds: [
      apiManagement.outputs.principalId
    ]
    channelSettings: channelSettings
    slotAudience: withEntra ? 'api://${clientId}' : ''
    alertEmails: alertEmails
    previewKeyName: previewKeyName
    createPreviewKey: createPreviewKey
    previewKey: previewKey
  }
}

module workspaceRole 'modules/workspace-role.bicep' = {
  scope: group
  name: 'workspace-role'
  params: {
    workspaceName: slotsMonitoring.outputs.workspaceName
    analyzerPrincipalId: analyzer.outputs.principalId
  }
}

module blue 'slot.bicep' = {
  scope: group
  name: 'slot-blue'
  params: {
    name: blueName
    colour: 'blue'
    location: location
    tags: tags
    storageName: slotsStorage.outputs.name
    componentName: slotsMonitoring.outputs.componentName
    pythonVersion: pythonVersion
    instanceMemoryMb: instanceMemoryMb
    maximumInstances: maximumInstances
    alwaysReadyInstances: alwaysReadyInstances
    applicationSettings: applicationSettings
    slotsClientId: clientId
    callerPrincipalIds: [
      apiManagement.outputs.principalId
      analyzer.outputs.principalId
    ]
  }
}

module green 'slot.bicep' = {
  scope: group
  name: 'slot-green'
  params: {
    name: greenName
    colour: 'green'
    location: location
    tags: tags
    storageName: slotsStorage.outputs.name
    componentName: slotsMonitoring.outputs.componentName
    pythonVersion: pythonVersion
    instanceMemoryMb: instanceMemoryMb
    maximumInstances: maximumInstances
    alwaysReadyInstances: alwaysReadyInstances
    applicationSettings: applicationSettings
    slotsClientId: clientId
    callerPrincipalIds: [
      apiManagement.outputs.principalId
      analyzer.outputs.principalId
    ]
  }
}

module functionKeys 'modules/function-keys.bicep' = if (!withEntra) {
  scope: group
  name: 'function-keys'
  params: {
    vaultName: analyzer.outputs.vaultName
    blueName: blue.outputs.name
    greenName: green.outputs.name
  }
}

module gateway 'gateway.bicep' = {
  scope: resourceGroup(gatewayGroupName)
  name: 'gateway-${token}'
  params: {
    apiManagementName: gatewayName
    apiName: serviceName
    apiPath: serviceName
    subscriptionRequired: subscriptionRequired
    allowedOrigins: allowedOrigins
    blueUrl: blue.outputs.url
    greenUrl: green.outputs.url
    slotAuthentication: slotAuthentication
    slotsClientId: clientId
    vaultUri: analyzer.outputs.vaultUri
    previewKeyName: previewKeyName
    poolName: poolName
    markerName: markerName
    createPool: createPool
    createMarker: createMarker
    liveSlot: liveSlot
  }
  dependsOn: [
    functionKeys
  ]
}

module trafficRole 'modules/traffic-role.bicep' = {
  scope: resourceGroup(gatewayGroupName)
  name: 'traffic-role-${token}'
  params: {
    apiManagementName: gatewayName
    analyzerPrincipalId: analyzer.outputs.principalId
    operatorsGroupId: operatorsGroupId
  }
}

module slotEvents 'modules/slot-events.bicep' = {
  scope: group
  name: 'slot-events'
  params: {
    storageTopicName: 'evgst-packages-${token}'
    resourcesTopicName: 'evgst-writes-${token}'
    location: location
    tags: tags
    storageName: slotsStorage.outputs.name
    deadLetterIdentityId: analyzer.outputs.deadLetterIdentityId
  }
}

module lostPackages 'modules/lost-events.bicep' = {
  scope: group
  name: 'lost-packages'
  params: {
    topicName: 'evgst-packages-${token}'
    topicId: slotEvents.outputs.storageTopicId
    tags: tags
    actionGroupId: analyzer.outputs.actionGroupId
  }
}

module pipelineRoles 'modules/pipeline-roles.bicep' = if (!empty(pipelinePrincipalId)) {
  scope: group
  name: 'pipeline-roles'
  params: {
    pipelinePrincipalId: pipelinePrincipalId
    blueName: blue.outputs.name
    greenName: green.outputs.name
  }
}

module announcerRole 'modules/announcer-role.bicep' = if (!empty(pipelinePrincipalId)) {
  scope: group
  name: 'announcer-role'
  params: {
    pipelinePrincipalId: pipelinePrincipalId
    incomingTopicName: analyzer.outputs.incomingTopicName
  }
}

@description('Resource group of everything but an adopted API Management service.')
output AZURE_RESOURCE_GROUP string = groupName

@description('Name of the service in the policy.')
output CANARY_SERVICE string = serviceName

@description('Name of the analyzer\'s function app.')
output ANALYZER_NAME string = analyzer.outputs.name

@description('Base URL of the analyzer: what the CLI talks to.')
output CANARY_URL string = analyzer.outputs.url

@description('Where pipelines publish Canary.DeploymentCompleted to.')
output CANARY_TOPIC string = analyzer.outputs.incomingTopicEndpoint

@description('Name of the topic that pipelines publish to.')
output INCOMING_TOPIC_NAME string = analyzer.outputs.incomingTopicName

@description('Name of the system topic of the slots\' storage account.')
output STORAGE_TOPIC_NAME string = 'evgst-packages-${token}'

@description('Name of the system topic of the resource group.')
output RESOURCES_TOPIC_NAME string = 'evgst-writes-${token}'

@description('Name of the analyzer\'s storage account: dead letters.')
output ANALYZER_STORAGE_NAME string = analyzer.outputs.storageName

@description('Name of the identity that writes dead letters.')
output DEAD_LETTER_IDENTITY_NAME string = analyzer.outputs.deadLetterIdentityName

@description('Name of the blue app.')
output BLUE_NAME string = blue.outputs.name

@description('Name of the green app.')
output GREEN_NAME string = green.outputs.name

@description('Base URL of the blue slot.')
output BLUE_URL string = blue.outputs.url

@description('Base URL of the green slot.')
output GREEN_URL string = green.outputs.url

@description('Resource ID of the API Management service: `api_management` in the policy.')
output API_MANAGEMENT_ID string = apiManagement.outputs.id

@description('Base URL of the service at the gateway: `gate.gateway_url` in the policy.')
output GATEWAY_URL string = '${apiManagement.outputs.gatewayUrl}/${serviceName}'

@description('GUID of the judged workspace: `workspace` in the policy.')
output WORKSPACE_GUID string = workspaceRole.outputs.workspaceGuid

@description('Name of the Key Vault: put the webhook URLs of the chat channels there.')
output VAULT_NAME string = analyzer.outputs.vaultName
