package secrets

import (
	"crypto/tls"
	"errors"
	"strings"

	"github.com/tink-crypto/tink-go-hcvault/v2/integration/hcvault"
	"github.com/tink-crypto/tink-go/v2/core/registry"
)

// vaultScheme begins the URI of a key of HashiCorp Vault's transit engine:
// hcvault://vault.example:8200/transit/keys/name.
const vaultScheme = "hcvault://"

// UseVault registers Vault as the KMS for uri, so that keysets can be encrypted with a key that Vault keeps and never
// gives away. token authenticates at Vault; trust holds the authorities of its TLS certificate, nil those of the
// machine. Vault is spoken to over TLS only. The errors quote neither the token nor the URI.
func UseVault(uri, token string, trust *tls.Config) error {
	switch {
	case !strings.HasPrefix(uri, vaultScheme):
		return errors.New("secrets: the KMS URI is not one of Vault: use one that begins with hcvault://")
	case token == "":
		return errors.New("secrets: there is no token for Vault: set VAULT_TOKEN to one")
	}
	if trust == nil {
		trust = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	client, err := hcvault.NewClient(uri, trust, token)
	if err != nil {
		return errors.New("secrets: the KMS URI names no key in Vault: use one such as hcvault://host:8200/transit/keys/name")
	}
	registry.RegisterKMSClient(client)
	return nil
}
