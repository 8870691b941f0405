package secrets_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/core/registry"

	"github.com/watchfire-mdr/watchfire/secrets"
)

// startVault starts a server that answers as Vault's transit engine does: it encrypts and decrypts with the key "one"
// for callers with the token. asked counts its requests.
func startVault(t *testing.T) (uri string, trust *tls.Config, asked *int) {
	t.Helper()
	asked = new(int)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked++
		var in struct{ Plaintext, Ciphertext string }
		if r.Header.Get("X-Vault-Token") != "s.token" || json.NewDecoder(r.Body).Decode(&in) != nil {
			http.Error(w, `{"errors":["permission denied"]}`, http.StatusForbidden)
			return
		}
		data := map[string]string{}
		switch r.URL.Path {
		case "/v1/transit/encrypt/one":
			plain, err := base64.StdEncoding.DecodeString(in.Plaintext)
			if err != nil {
				http.Error(w, `{"errors":["bad plaintext"]}`, http.StatusBadRequest)
				return
			}
			for i := range plain {
				plain[i] ^= 0x5a
			}
			data["ciphertext"] = "vault:v1:" + base64.StdEncoding.EncodeToString(plain)
		case "/v1/transit/decrypt/one":
			plain, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(in.Ciphertext, "vault:v1:"))
			if err != nil {
				http.Error(w, `{"errors":["bad ciphertext"]}`, http.StatusBadRequest)
				return
			}
			for i := range plain {
				plain[i] ^= 0x5a
			}
			data["plaintext"] = base64.StdEncoding.EncodeToString(plain)
		default:
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
	}))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return "hcvault://" + strings.TrimPrefix(server.URL, "https://") + "/transit/keys/one", &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, asked
}

func TestVaultEncryptsAKeyset(t *testing.T) {
	uri, trust, asked := startVault(t)
	defer registry.ClearKMSClients()
	if err := secrets.UseVault(uri, "s.token", trust); err != nil {
		t.Fatal(err)
	}
	encoded, err := secrets.GenerateBox(uri)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := secrets.OpenBox(encoded, "", ""); err == nil {
		t.Error("the keyset opens without Vault")
	}
	box, err := secrets.OpenBox(encoded, "", uri)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := box.Seal("row", []byte("falcon"))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := box.Unseal("row", sealed); err != nil || string(plain) != "falcon" || *asked != 2 {
		t.Errorf("%q, %v; Vault was asked %d times, want once for each of making and opening", plain, err, *asked)
	}
}

func TestVaultNeedsAKeyAndAToken(t *testing.T) {
	uri, trust, _ := startVault(t)
	defer registry.ClearKMSClients()
	for name, err := range map[string]error{
		"no token": secrets.UseVault(uri, "", trust), "another scheme": secrets.UseVault("https://vault.example/x", "s.token", trust),
	} {
		if err == nil || strings.Contains(err.Error(), "s.token") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := secrets.UseVault(uri, "s.wrong", trust); err != nil {
		t.Fatal(err)
	}
	if _, err := secrets.GenerateBox(uri); err == nil || strings.Contains(err.Error(), "s.wrong") {
		t.Errorf("with a wrong token: %v", err)
	}
}
