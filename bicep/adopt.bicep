// The analyzer beside what is already there: an API Management service with pool and marker, two function apps, a
// workspace that their requests go to. Nothing of theirs is written; the analyzer gets the right to move the traffic
// and to read the requests. docs/infrastructure.md says what the policy then must name.

@description('Name of the environment. Names of resources derive from it.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Region of the analyzer.')
param location string = resourceGroup().location

@description('Name of the API Management service.')
param apiManagementName string

@description('Resource group of the API Management service.')
param apiManagementResourceGroup string = resourceGroup().name

@description('Name of the workspace that the slots\' requests go to.')
param workspaceName string

@description('Resource group of the workspace.')
param workspaceResourceGroup string = resourceGroup().name

@description('Token audience of the slots (api://<client id>), where App Service authentication guards them; it must admit the analyzer. Empty where it is off.')
param slotAudience string = ''

@description('App settings of the analyzer that hold a secret, such as TEAMS_WEBHOOK_URL; each becomes a Key Vault reference.')
param channelSettings array = []

@description('E-mail addresses that alerts go to.')
param alertEmails array = []

@description('Object ID of the pipeline\'s service principal, which announces deployments; empty for none.')
param pipelinePrincipalId string = ''

@description('Object ID of the group of people who may move traffic by hand when the analyzer is down; empty for none.')
param operatorsGroupId string = ''

@description('True only at the first deployment: makes the preview key.')
param createPreviewKey bool = false

@description('The preview key; used only when it is created. Leave the default: nobody has to know it.')
// checkov:skip=CKV_AZURE_131: newGuid() is no fixed value: each deployment draws another, and only the first is kept
@secure()
param previewKey string = newGuid()

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = {
  'azd-env-name': environmentName
}

module apiManagement 'modules/api-management-reader.bicep' = {
  scope: resourceGroup(apiManagementResourceGroup)
  name: 'api-management-reader-${token}'
  params: {
    name: apiManagementName
  }
}

module analyzer 'analyzer.bicep' = {
  name: 'analyzer'
  params: {
    name: 'func-canary-${token}'
    token: token
    location: location
    tags: tags
    judgedWorkspaceId: resourceId(workspaceResourceGroup, 'Microsoft.OperationalInsights/workspaces', workspaceName)
    vaultReaderPrincipalIds: [
      apiManagement.outputs.principalId
    ]
    channelSettings: channelSettings
    slotAudience: slotAudience
    alertEmails: alertEmails
    previewKeyName: 'canary-preview-key'
    createPreviewKey: createPreviewKey
    previewKey: previewKey
  }
}

module trafficRole 'modules/traffic-role.bicep' = {
  scope: resourceGroup(apiManagementResourceGroup)
  name: 'traffic-role-${token}'
  params: {
    apiManagementName: apiManagementName
    analyzerPrincipalId: analyzer.outputs.principalId
    operatorsGroupId: operatorsGroupId
  }
}

module workspaceRole 'modules/workspace-role.bicep' = {
  scope: resourceGroup(workspaceResourceGroup)
  name: 'workspace-role-${token}'
  params: {
    workspaceName: workspaceName
    analyzerPrincipalId: analyzer.outputs.principalId
  }
}

module announcerRole 'modules/announcer-role.bicep' = if (!empty(pipelinePrincipalId)) {
  name: 'announcer-role-${token}'
  params: {
    pipelinePrincipalId: pipelinePrincipalId
    incomingTopicName: analyzer.outputs.incomingTopicName
  }
}

@description('Name of the analyzer\'s function app.')
output ANALYZER_NAME string = analyzer.outputs.name

@description('Base URL of the analyzer: what the CLI talks to.')
output CANARY_URL string = analyzer.outputs.url

@description('Where pipelines publish Canary.DeploymentCompleted to.')
output CANARY_TOPIC string = analyzer.outputs.incomingTopicEndpoint

@description('Name of the topic that pipelines publish to.')
output INCOMING_TOPIC_NAME string = analyzer.outputs.incomingTopicName

@description('Name of the analyzer\'s storage account: dead letters.')
output ANALYZER_STORAGE_NAME string = analyzer.outputs.storageName

@description('Name of the identity that writes dead letters.')
output DEAD_LETTER_IDENTITY_NAME string = analyzer.outputs.deadLetterIdentityName

@description('GUID of the judged workspace: `workspace` in the policy.')
output WORKSPACE_GUID string = workspaceRole.outputs.workspaceGuid

@description('Resource ID of the API Management service: `api_management` in the policy.')
output API_MANAGEMENT_ID string = apiManagement.outputs.id

@description('Name of the Key Vault: put the webhook URLs of the chat channels there.')
output VAULT_NAME string = analyzer.outputs.vaultName
