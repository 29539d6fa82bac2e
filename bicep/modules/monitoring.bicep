// One Log Analytics workspace with one Application Insights component in it. Used twice: the slots share one (what the
// judge reads), the analyzer has one of its own, so that a daily cap or an outage of the judged workspace does not
// also blind the alert that watches the analyzer.

@description('Name of the workspace.')
param workspaceName string

@description('Name of the Application Insights component.')
param componentName string

@description('Region of both.')
param location string

@description('Tags of both.')
param tags object

@description('Days that rows are kept.')
@minValue(30)
@maxValue(730)
param retentionDays int = 30

@description('Gigabytes a day after which ingestion stops until the next day; -1 for no cap. A cap in the middle of a rollout makes the judge blind: the rollout is held, not promoted.')
param dailyCapGb int = -1

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: workspaceName
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: retentionDays
    workspaceCapping: {
      dailyQuotaGb: dailyCapGb
    }
    features: {
      disableLocalAuth: true
      enableLogAccessUsingOnlyResourcePermissions: true
    }
  }
}

resource component 'Microsoft.Insights/components@2020-02-02' = {
  name: componentName
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    IngestionMode: 'LogAnalytics'
    DisableLocalAuth: true
    // Sampling here would thin both slots alike, but the slow and failing requests that a verdict needs are few.
    SamplingPercentage: 100
  }
}

@description('Name of the component.')
output componentName string = component.name

@description('Resource ID of the workspace.')
output workspaceId string = workspace.id

@description('Name of the workspace.')
output workspaceName string = workspace.name

@description('What the policy calls `workspace`: the GUID by which it is queried.')
output workspaceGuid string = workspace.properties.customerId
