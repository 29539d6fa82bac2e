// The declarative shift, for people who move traffic without the analyzer: one parameter sets both weights, and the
// marker moves only with the last step, after the pool was written. Never deploy it while the analyzer has an active
// rollout: it would hold the rollout as drift.
//
//   az deployment group create --resource-group <group of the service> --template-file bicep/traffic-shifting.bicep \
//     --parameters apiManagementName=<name> slot=green share=10
//
// `share` is what `slot` gets; the other slot gets the rest. `share=0` takes it all back.

@description('Name of the API Management service, in this resource group.')
param apiManagementName string

@description('The slot whose share is set.')
@allowed([
  'blue'
  'green'
])
param slot string

@description('Percent of requests that the slot gets; the other slot gets the rest. At 100 the marker moves to the slot, and never before.')
@minValue(0)
@maxValue(100)
param share int

@description('Name of the pool.')
param poolName string = 'green-blue-pool'

@description('Name of the marker: the named value that says which slot is live.')
param markerName string = 'current-slot-name'

var blueWeight = slot == 'blue' ? share : 100 - share

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

resource pool 'Microsoft.ApiManagement/service/backends@2024-05-01' = {
  parent: service
  name: poolName
  properties: {
    description: 'Blue and green behind one name.'
    type: 'Pool'
    pool: {
      services: [
        {
          id: blue.id
          priority: 1
          weight: blueWeight
        }
        {
          id: green.id
          priority: 1
          weight: 100 - blueWeight
        }
      ]
    }
  }
}

resource marker 'Microsoft.ApiManagement/service/namedValues@2024-05-01' = if (share == 100) {
  parent: service
  name: markerName
  properties: {
    displayName: markerName
    value: slot
    secret: false
  }
  dependsOn: [
    pool
  ]
}

@description('The weights as they were written.')
output weights object = {
  blue: blueWeight
  green: 100 - blueWeight
}
