// Alerts on events that Event Grid could not deliver. They read platform metrics, which no workspace can take away.

@description('Name of the topic, for the alerts\' names.')
param topicName string

@description('Resource ID of the topic, custom or system.')
param topicId string

@description('Tags of the alerts.')
param tags object

@description('Resource ID of the action group.')
param actionGroupId string

// The criteria of one metric alert must all hold at once, so each way of losing an event has an alert of its own.
var metrics = [
  'DeadLetteredCount'
  'DroppedEventCount'
]

resource losses 'Microsoft.Insights/metricAlerts@2018-03-01' = [
  for metric in metrics: {
    name: '${topicName}-${metric}'
    location: 'global'
    tags: tags
    properties: {
      description: 'Event Grid could not deliver an event to the analyzer. Dead letters are in the container dead-letters of its storage account; canary start starts a rollout that was not announced.'
      enabled: true
      severity: 2
      scopes: [
        topicId
      ]
      evaluationFrequency: 'PT5M'
      windowSize: 'PT15M'
      autoMitigate: true
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            name: metric
            criterionType: 'StaticThresholdCriterion'
            metricName: metric
            operator: 'GreaterThan'
            threshold: 0
            timeAggregation: 'Total'
          }
        ]
      }
      actions: [
        {
          actionGroupId: actionGroupId
        }
      ]
    }
  }
]
