// The workbook: weights over time, error rate and p95 of both slots, verdicts, decisions.

@description('Name that people see.')
param displayName string

@description('Region of the workbook.')
param location string

@description('Tags of the workbook.')
param tags object

@description('Resource ID of the analyzer\'s own workspace: decisions and verdicts.')
param analyzerWorkspaceId string

@description('Resource ID of the judged workspace: requests of both slots.')
param judgedWorkspaceId string

var charts = [
  {
    title: 'Share of the canary (percent)'
    query: loadTextContent('../queries/weights.kql')
    workspaceId: analyzerWorkspaceId
    visualization: 'timechart'
  }
  {
    title: 'Failed requests per slot (percent)'
    query: loadTextContent('../queries/errors.kql')
    workspaceId: judgedWorkspaceId
    visualization: 'timechart'
  }
  {
    title: 'p95 per slot (milliseconds)'
    query: loadTextContent('../queries/p95.kql')
    workspaceId: judgedWorkspaceId
    visualization: 'timechart'
  }
  {
    title: 'Verdicts'
    query: loadTextContent('../queries/verdicts.kql')
    workspaceId: analyzerWorkspaceId
    visualization: 'barchart'
  }
  {
    title: 'Decisions'
    query: loadTextContent('../queries/decisions.kql')
    workspaceId: analyzerWorkspaceId
    visualization: 'table'
  }
]

var timeRange = {
  type: 9
  name: 'parameters'
  content: {
    version: 'KqlParameterItem/1.0'
    style: 'pills'
    parameters: [
      {
        id: guid(resourceGroup().id, displayName, 'time')
        version: 'KqlParameterItem/1.0'
        name: 'TimeRange'
        label: 'Time'
        type: 4
        isRequired: true
        value: {
          durationMs: 14400000
        }
        typeSettings: {
          allowCustom: true
          selectableValues: [
            {
              durationMs: 3600000
            }
            {
              durationMs: 14400000
            }
            {
              durationMs: 86400000
            }
            {
              durationMs: 604800000
            }
          ]
        }
      }
    ]
  }
}

var items = map(charts, chart => {
  type: 3
  name: chart.title
  content: {
    version: 'KqlItem/1.0'
    title: chart.title
    query: chart.query
    queryType: 0
    resourceType: 'microsoft.operationalinsights/workspaces'
    crossComponentResources: [
      chart.workspaceId
    ]
    timeContextFromParameter: 'TimeRange'
    visualization: chart.visualization
    size: 0
  }
})

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, displayName)
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: displayName
    category: 'workbook'
    sourceId: analyzerWorkspaceId
    version: '1.0'
    serializedData: string({
      version: 'Notebook/1.0'
      items: concat([
        timeRange
      ], items)
    })
  }
}
