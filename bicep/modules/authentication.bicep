// App Service authentication of one slot: a token of this tenant, for this audience, from one of these identities. What
// has none is answered 401 before the function runs, so nothing of it reaches the telemetry that is judged.

@description('Name of the app, in this resource group.')
param siteName string

@description('Client ID of the app registration that stands for the slots.')
param clientId string

@description('Object IDs of the identities that may call the app.')
param callerPrincipalIds array

resource site 'Microsoft.Web/sites@2024-04-01' existing = {
  name: siteName
}

resource settings 'Microsoft.Web/sites/config@2024-04-01' = {
  // checkov:skip=CKV_AZURE_13: the rule is for the site, and this is its authentication: the site is in flex-app.bicep
  // checkov:skip=CKV_AZURE_63: the rule is for the site, and this is its authentication: the site is in flex-app.bicep
  // checkov:skip=CKV_AZURE_65: the rule is for the site, and this is its authentication: the site is in flex-app.bicep
  // checkov:skip=CKV_AZURE_66: the rule is for the site, and this is its authentication: the site is in flex-app.bicep
  // checkov:skip=CKV_AZURE_80: the rule is for the site, and this is its authentication: the site is in flex-app.bicep
  // checkov:skip=CKV_AZURE_88: the rule is for the site, and this is its authentication: the site is in flex-app.bicep
  // checkov:skip=CKV_AZURE_222: the rule is for the site, and this is its authentication: the site is in flex-app.bicep
  parent: site
  name: 'authsettingsV2'
  properties: {
    platform: {
      enabled: true
    }
    globalValidation: {
      requireAuthentication: true
      unauthenticatedClientAction: 'Return401'
    }
    httpSettings: {
      requireHttps: true
    }
    identityProviders: {
      azureActiveDirectory: {
        enabled: true
        registration: {
          clientId: clientId
          openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
        }
        validation: {
          allowedAudiences: [
            clientId
            'api://${clientId}'
          ]
          defaultAuthorizationPolicy: {
            // Any identity of the tenant can get a token for this audience: only these may use it.
            allowedPrincipals: {
              identities: callerPrincipalIds
            }
          }
        }
      }
    }
    login: {
      tokenStore: {
        enabled: false
      }
    }
  }
}
