package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/watchfire-mdr/watchfire/config"
	"github.com/watchfire-mdr/watchfire/secrets"
)

// runPayloadKeys makes and changes the keyset that seals payloads. An operator changes keys in four steps: extend the
// keyset, give every process the longer one, use its newest key, give every process that one.
func runPayloadKeys(c config.Config, subcommand string, out io.Writer) (err error) {
	var keyset string
	switch subcommand {
	case "keygen":
		keyset, err = secrets.Generate(c.SecretsKMSURI)
	case "extend":
		keyset, err = secrets.AddPayloadKey(c.PayloadKeyset, c.SecretsKMSURI)
	case "use":
		keyset, err = secrets.UsePayloadKey(c.PayloadKeyset, c.SecretsKMSURI)
	default:
		err = errors.New("secrets -for payloads got no subcommand that it knows: give keygen, extend or use")
	}
	if err == nil {
		fmt.Fprintln(out, keyset)
	}
	return err
}
