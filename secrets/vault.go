package secrets

import (
	"crypto/tls"
	"errors"
	"strings"

	"github.com/tink-crypto/tink-go-hcvault/v2/integration/hcvault"
	"github.com/tink-crypto/tink-go/v2/core/registry"
)

// vaultScheme begins the URI of a key of HashiCorp Vault's transit engine: hcvault://vault.example:8200/transit/keys/name.
const vaultScheme = "hcvault://"

// UseVault lets keysets be encrypted with a key that Vault keeps and never gives away. token is Vault's; trust nil is
// the machine's. Vault is spoken to over TLS only.
func UseVault(uri, token string, trust *tls.Config) error {
	switch {
	case !strings.HasPrefix(uri, vaultScheme):
		return errors.New("secrets: the KMS URI does not begin with hcvault://")
	case token == "":
		return errors.New("secrets: Vault wants a token")
	}
	if trust == nil {
		trust = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	client, err := hcvault.NewClient(uri, trust, token)
	if err != nil {
		return errors.New("secrets: the KMS URI names no key of Vault's")
	}
	registry.RegisterKMSClient(client)
	return nil
}
