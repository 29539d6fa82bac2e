// Who watches the watcher. Every alert here reads the analyzer's own workspace, never the judged one: a daily cap or an
// outage of the judged workspace leaves all of them standing.

@description('Start of the alerts\' names.')
param namePrefix string

@description('Region of the log alerts.')
param location string

@description('Tags of the alerts.')
param tags object

@description('Resource ID of the analyzer\'s own workspace.')
param analyzerWorkspaceId string

@description('E-mail addresses that the alerts go to. Add pagers to the action group by hand or by your own template.')
param emails array

var logAlerts = [
  {
    name: 'dead'
    title: 'Flex Canary: a rollout is active and no tick succeeds'
    description: 'No tick of the analyzer has succeeded for ten minutes while a rollout is active. Traffic stays where it is. canary shift --direct moves it without the analyzer (docs/infrastructure.md).'
    query: loadTextContent('../queries/dead-analyzer.kql')
    severity: 1
    evaluations: 2
    queryRange: 'P2D'
  }
  {
    name: 'silent'
    title: 'Flex Canary: the analyzer does not run'
    description: 'The timer has not run for fifteen minutes: the next deployment would not be noticed. Look at the function app and its identity (docs/infrastructure.md).'
    query: loadTextContent('../queries/silent-analyzer.kql')
    severity: 2
    evaluations: 1
    queryRange: 'PT1H'
  }
  {
    name: 'poison'
    title: 'Flex Canary: a message was given up on'
    description: 'A tick or an event failed five times. canary status shows it under incidents.'
    query: loadTextContent('../queries/poison.kql')
    severity: 2
    evaluations: 1
    queryRange: 'PT10M'
  }
  {
    name: 'overdue'
    title: 'Flex Canary: a rollout is held longer than its limit'
    description: 'canary status names the rollout, the reason and who can end it.'
    query: loadTextContent('../queries/overdue.kql')
    severity: 2
    evaluations: 1
    queryRange: 'PT10M'
  }
]

resource group 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: '${namePrefix}-alerts'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'FlexCanary'
    enabled: true
    emailReceivers: [
      for email in emails: {
        name: email
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

resource logs 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for alert in logAlerts: {
    name: '${namePrefix}-${alert.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: alert.title
      description: alert.description
      enabled: true
      severity: alert.severity
      scopes: [
        analyzerWorkspaceId
      ]
      evaluationFrequency: 'PT5M'
      windowSize: 'PT5M'
      overrideQueryTimeRange: alert.queryRange
      // The tables of a new workspace exist only after their first row.
      skipQueryValidation: true
      autoMitigate: true
      criteria: {
        allOf: [
          {
            query: alert.query
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: 0
            failingPeriods: {
              numberOfEvaluationPeriods: alert.evaluations
              minFailingPeriodsToAlert: alert.evaluations
            }
          }
        ]
      }
      actions: {
        actionGroups: [
          group.id
        ]
      }
    }
  }
]

@description('Resource ID of the action group.')
output actionGroupId string = group.id
