package sendgrid

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

const stamp = "1772366400"

func keyPair(t *testing.T) (*ecdsa.PrivateKey, *Events) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	events, err := NewEvents(public(t, &private.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return private, events
}

func public(t *testing.T, k crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func sign(t *testing.T, k *ecdsa.PrivateKey, timestamp, body string) string {
	t.Helper()
	digest := sha256.Sum256([]byte(timestamp + body))
	der, err := ecdsa.SignASN1(rand.Reader, k, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func parse(t *testing.T, body string) ([]models.MailEvent, *Events) {
	t.Helper()
	private, e := keyPair(t)
	got, err := e.Parse([]byte(body), sign(t, private, stamp, body), stamp)
	if err != nil {
		t.Fatal(err)
	}
	return got, e
}

func TestWrongSignaturesAreForbidden(t *testing.T) {
	private, e := keyPair(t)
	other, _ := keyPair(t)
	body := "[]\r\n"
	good := sign(t, private, stamp, body)
	if _, err := e.Parse([]byte(body), good, stamp); err != nil {
		t.Fatalf("a good signature is rejected: %v", err)
	}
	for name, c := range map[string][3]string{
		"line end trimmed":  {"[]", good, stamp},
		"other time":        {body, good, "1772366401"},
		"no time":           {body, sign(t, private, "", body), ""},
		"no signature":      {body, "", stamp},
		"not base64":        {body, "%%%", stamp},
		"not DER":           {body, base64.StdEncoding.EncodeToString([]byte("abc")), stamp},
		"another key":       {body, sign(t, other, stamp, body), stamp},
		"changed body":      {`[{"event":"delivered"}]`, good, stamp},
		"bytes after DER":   {body, good[:len(good)-4] + "AAAA", stamp},
		"not JSON either":   {"{", "x", stamp},
		"signature of body": {body, sign(t, private, "", body), stamp},
	} {
		if _, err := e.Parse([]byte(c[0]), c[1], c[2]); models.KindOf(err) != models.Forbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSignedNonsenseIsInvalid(t *testing.T) {
	private, e := keyPair(t)
	for _, body := range []string{"", "{}", "null x", `"a"`, "[{]", "[] []"} {
		if _, err := e.Parse([]byte(body), sign(t, private, stamp, body), stamp); models.KindOf(err) != models.Invalid {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestEvents(t *testing.T) {
	common := `"email":"x@client.example","timestamp":1772366400,"sg_message_id":"m1.f.1","category":["incident"],` +
		`"mdr_delivery_id":"d1","mdr_incident":"SI-1042-0007","mdr_number":7,"other":"x",`
	for _, c := range []struct{ name, fields, kind, reason string }{
		{"processed", `"event":"processed"`, "processed", ""},
		{"delivered", `"event":"delivered","response":"250 OK"`, "delivered", "250 OK"},
		{"deferred", `"event":"deferred","response":"400 try later","attempt":"5"`, "deferred", "400 try later"},
		{"hard bounce", `"event":"bounce","type":"bounce","status":"5.1.1","reason":"550 unknown user","bounce_classification":"Invalid Address"`,
			"bounce", "550 unknown user; Invalid Address; status 5.1.1"},
		{"soft bounce", `"event":"bounce","type":"blocked","status":"4.0.0","reason":"4.0.0 later\r\nplease"`, "blocked", "4.0.0 later please"},
		{"drop", `"event":"dropped","reason":"Bounced Address\n","message":"550 no such user","status":"5.0.0"`,
			"dropped", "Bounced Address; 550 no such user; status 5.0.0"},
		{"spam report", `"event":"spamreport"`, "spamreport", ""},
		{"unsubscribed from a group", `"event":"group_unsubscribe","asm_group_id":10`, "unsubscribe", ""},
		{"category as a string", `"event":"open","category":"incident"`, "open", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, e := parse(t, `[{`+common+`"sg_event_id":"e1",`+c.fields+`}]`)
			if len(got) != 1 || e.Skipped() != 0 {
				t.Fatalf("got %v, %d skipped", got, e.Skipped())
			}
			want := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
			if got[0].ID != "e1" || got[0].Type != c.kind || got[0].Reason != c.reason || !got[0].At.Equal(want) {
				t.Errorf("got %+v", got[0])
			}
			if !maps.Equal(got[0].Opaque, letter.Opaque) {
				t.Errorf("opaque %v", got[0].Opaque)
			}
		})
	}
}

func TestOneBadEventDoesNotFailTheBatch(t *testing.T) {
	good := `{"event":"delivered","sg_event_id":"e%d","timestamp":1772366400,"mdr_delivery_id":"d1"}`
	got, e := parse(t, "["+strings.Join([]string{
		fmt.Sprintf(good, 1),
		`"text"`, `17`, `null`, `{}`,
		`{"event":"delivered","sg_event_id":"e","timestamp":"soon"}`,
		`{"event":"delivered","sg_event_id":"e","timestamp":-5}`,
		`{"event":"account_status_change","sg_event_id":"e","timestamp":1772366400}`,
		`{"event":7,"sg_event_id":"e","timestamp":1772366400}`,
		fmt.Sprintf(good, 2),
		fmt.Sprintf(good, 1),
	}, ",")+"]")
	if len(got) != 3 || got[0].ID != "e1" || got[1].ID != "e2" || got[2].ID != "e1" {
		t.Errorf("got %+v", got)
	}
	if e.Skipped() != 8 {
		t.Errorf("%d skipped", e.Skipped())
	}
}

func TestAnEventWithoutIDKeepsItsOwnOverRepetition(t *testing.T) {
	drop := func(id string) string {
		return `{"event":"dropped","timestamp":1772366400,"reason":"Invalid","mdr_delivery_id":"` + id + `"}`
	}
	got, _ := parse(t, "["+drop("d1")+","+drop("d2")+", "+drop("d1")+"]")
	if len(got) != 3 || got[0].ID == "" || got[0].ID != got[2].ID || got[0].ID == got[1].ID {
		t.Errorf("got %+v", got)
	}
}

func TestLongReasonsAreCut(t *testing.T) {
	got, _ := parse(t, `[{"event":"bounce","sg_event_id":"e1","timestamp":1772366400,"reason":"`+strings.Repeat("long ", 5000)+`"}]`)
	if n := len(got[0].Reason); n == 0 || n > maxReason {
		t.Errorf("%d characters", n)
	}
}

func TestNewEventsRejectsOtherKeys(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	edKey, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]string{
		"empty": "", "not base64": "%%%", "not a key": "YWJj",
		"RSA": public(t, &rsaKey.PublicKey), "Ed25519": public(t, edKey), "P-384": public(t, &p384.PublicKey),
	} {
		if _, err := NewEvents(k); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
