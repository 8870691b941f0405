package observability_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/watchfire-mdr/watchfire/observability"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its own certificate, in PEM
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.key, a.file = key, filepath.Join(t.TempDir(), "ca.pem")
	a.write(a.file, "CERTIFICATE", der)
	return a
}

// issue writes a certificate for a name and its key into two files.
func (a *authority) issue(name, certFile, keyFile string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(certFile, "CERTIFICATE", der)
	a.write(keyFile, "PRIVATE KEY", private)
}

func (a *authority) write(file, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// frontend answers as Temporal's does at a connection's begin, and notes who asked.
type frontend struct {
	workflowservice.UnimplementedWorkflowServiceServer

	mu          sync.Mutex
	who, apiKey string
}

func (f *frontend) GetSystemInfo(ctx context.Context, _ *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p, ok := peer.FromContext(ctx); ok {
		f.who = p.AuthInfo.(credentials.TLSInfo).State.PeerCertificates[0].Subject.CommonName
	}
	md, _ := metadata.FromIncomingContext(ctx)
	if keys := md.Get("authorization"); len(keys) > 0 {
		f.apiKey = keys[0]
	}
	return &workflowservice.GetSystemInfoResponse{}, nil
}

func TestTemporalIsReachedOverTLS(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	ours.issue("temporal.example", file("server.pem"), file("server.key"))
	ours.issue("watchfire", file("client.pem"), file("client.key"))
	theirs.issue("stranger", file("stranger.pem"), file("stranger.key"))
	pair, err := tls.LoadX509KeyPair(file("server.pem"), file("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ours.cert)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &frontend{}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
	})))
	workflowservice.RegisterWorkflowServiceServer(server, f)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)

	good := observability.Connection{
		Address: listener.Addr().String(), Namespace: "default", TLS: true, CAFile: ours.file, CertFile: file("client.pem"), KeyFile: file("client.key"),
		ServerName: "temporal.example", APIKey: "the-key",
	}
	dial := func(change func(*observability.Connection)) error {
		t.Helper()
		c := good
		change(&c)
		o, err := c.Options(payloads(t, observability.SealedPayloads))
		if err != nil {
			return err
		}
		o.Logger = observability.TemporalLogger(slog.New(slog.DiscardHandler))
		o.ConnectionOptions.GetSystemInfoTimeout = 2 * time.Second
		engine, err := client.DialContext(t.Context(), o)
		if err == nil {
			engine.Close()
		}
		return err
	}
	if err := dial(func(*observability.Connection) {}); err != nil {
		t.Fatal(err)
	}
	if f.who != "watchfire" || f.apiKey != "Bearer the-key" {
		t.Errorf("the server saw the certificate of %q and the key %q", f.who, f.apiKey)
	}
	for name, change := range map[string]func(*observability.Connection){
		"another authority":                  func(c *observability.Connection) { c.CAFile = theirs.file },
		"an authority that nobody named":     func(c *observability.Connection) { c.CAFile = "" },
		"another server name":                func(c *observability.Connection) { c.ServerName = "elsewhere.example" },
		"the address as the name":            func(c *observability.Connection) { c.ServerName = "" },
		"no client certificate":              func(c *observability.Connection) { c.CertFile = "" },
		"a stranger's certificate":           func(c *observability.Connection) { c.CertFile, c.KeyFile = file("stranger.pem"), file("stranger.key") },
		"another key than the certificate's": func(c *observability.Connection) { c.KeyFile = file("stranger.key") },
		"an authority's file that is none":   func(c *observability.Connection) { c.CAFile = file("client.key") },
		"a plain connection":                 func(c *observability.Connection) { c.TLS = false },
	} {
		if err := dial(change); err == nil {
			t.Errorf("with %s the connection stands", name)
		}
	}
}

// A certificate that is renewed in its file is used for the next connection, without a new start.
func TestARenewedCertificateIsUsed(t *testing.T) {
	ours := newAuthority(t)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key")
	ours.issue("before", certFile, keyFile)
	o, err := observability.Connection{Address: "temporal.example:7233", Namespace: "default", TLS: true, CertFile: certFile, KeyFile: keyFile}.
		Options(payloads(t, observability.SealedPayloads))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"before", "after"} {
		ours.issue(name, certFile, keyFile)
		pair, err := o.ConnectionOptions.TLS.GetClientCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		if cert, err := x509.ParseCertificate(pair.Certificate[0]); err != nil || cert.Subject.CommonName != name {
			t.Errorf("the certificate is of %q, want %q: %v", cert.Subject.CommonName, name, err)
		}
	}
}
