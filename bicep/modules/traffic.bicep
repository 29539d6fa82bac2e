// The pool and the marker: the two resources that say where production traffic goes.
//
// Re-deploying never moves traffic. The truth about both lives in API Management and belongs to the analyzer; a
// template that stated weights would undo a rollout each time it ran. So this module only ever CREATES them, behind
// two locks that do not depend on each other:
//   1. `createPool` and `createMarker` are false unless somebody says otherwise. hooks/preprovision.sh says so only
//      after API Management itself has listed its backends and named values and the name was not among them; when it
//      cannot ask, it stops the deployment instead of guessing.
//   2. `@onlyIfNotExists()` makes Resource Manager look for itself and leave an existing one alone, so a mistaken
//      `true` (a stale variable, a pipeline without the hook) still writes nothing.
// Weights are never read from the live pool and written back: a step of the analyzer between that read and that write
// would be lost. In incremental mode, the only one that deployments of a subscription have, what a template leaves
// out stays as it is.

@description('Name of the API Management service, in this resource group.')
param apiManagementName string

@description('Name of the pool.')
param poolName string

@description('Name of the marker: the named value that says which slot is live.')
param markerName string

@description('True only when the pool does not exist yet.')
param createPool bool

@description('True only when the marker does not exist yet.')
param createMarker bool

@description('The slot that gets all traffic when the pool is created, and that the marker names when it is.')
@allowed([
  'blue'
  'green'
])
param liveSlot string

resource service 'Microsoft.ApiManagement/service@2024-05-01' existing = {
  name: apiManagementName
}

resource blue 'Microsoft.ApiManagement/service/backends@2024-05-01' existing = {
  parent: service
  name: 'blue-backend'
}

resource green 'Microsoft.ApiManagement/service/backends@2024-05-01' existing = {
  parent: service
  name: 'green-backend'
}

@onlyIfNotExists()
resource pool 'Microsoft.ApiManagement/service/backends@2024-05-01' = if (createPool) {
  parent: service
  name: poolName
  properties: {
    description: 'Blue and green behind one name. The weights belong to the analyzer.'
    type: 'Pool'
    pool: {
      services: [
        {
          id: blue.id
          priority: 1
          weight: liveSlot == 'blue' ? 100 : 0
        }
        {
          id: green.id
          priority: 1
          weight: liveSlot == 'green' ? 100 : 0
        }
      ]
    }
  }
}

@onlyIfNotExists()
resource marker 'Microsoft.ApiManagement/service/namedValues@2024-05-01' = if (createMarker) {
  parent: service
  name: markerName
  properties: {
    displayName: markerName
    value: liveSlot
    secret: false
  }
}
