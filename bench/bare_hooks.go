package bench

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// bareConns is the number of the bare handler's connections to the database: the API has as many.
const bareConns = 20

// bareHooks is the simplest handler that could take reports on mails: it checks the signature and updates one row for
// each report.
type bareHooks struct {
	key *ecdsa.PrivateKey
	db  *sql.DB
}

// bareReports returns how many reports a second the bare handler takes, when as many requests as ours got arrive at
// once.
func (a *arena) bareReports(ctx context.Context, requests, contacts int) (perSecond float64, err error) {
	b := &bareHooks{}
	if b.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return 0, err
	}
	if b.db, err = sql.Open("pgx", a.stack.OwnerURL()); err != nil {
		return 0, err
	}
	defer b.db.Close()
	b.db.SetMaxOpenConns(bareConns)
	b.db.SetMaxIdleConns(bareConns)
	var all []int
	for range reportsOnMail {
		for n := range contacts {
			all = append(all, n)
		}
	}
	if _, err := b.db.ExecContext(ctx, "create table bare_mails (id int primary key, reports int not null)"); err != nil {
		return 0, fmt.Errorf("bare reports: %w", err)
	}
	if _, err := b.db.ExecContext(ctx, "insert into bare_mails select n, 0 from generate_series(0, $1::int - 1) n", contacts); err != nil {
		return 0, fmt.Errorf("bare reports: %w", err)
	}
	took, err := b.burst(ctx, slices.Collect(slices.Chunk(all, (len(all)+requests-1)/requests)))
	return float64(len(all)) / took.Seconds(), err
}

// burst posts all batches at once, waits for the answers and returns how long that took.
func (b *bareHooks) burst(ctx context.Context, batches [][]int) (time.Duration, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	s := &http.Server{Handler: b, ReadHeaderTimeout: hooksPatience}
	go func() { _ = s.Serve(l) }()
	defer func() { _ = s.Close() }() // every request has its answer by then
	begin := time.Now()
	all := load{clients: len(batches), during: hooksPatience, most: len(batches)}
	t := all.run(ctx, func(ctx context.Context, n int) (time.Duration, error) {
		return 0, b.post(ctx, "http://"+l.Addr().String(), batches[n])
	})
	if len(t.failed) > 0 {
		return 0, fmt.Errorf("bare reports: %w", t.failed[0])
	}
	return time.Since(begin), nil
}

// post signs a batch and posts it.
func (b *bareHooks) post(ctx context.Context, address string, batch []int) error {
	body, err := json.Marshal(batch)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(body)
	signature, err := ecdsa.SignASN1(rand.Reader, b.key, digest[:])
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Signature", base64.StdEncoding.EncodeToString(signature))
	return expectNoContent(req)
}

// expectNoContent sends a request, whose answer must have no body.
func expectNoContent(req *http.Request) error {
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		return fmt.Errorf("the bare side answered %s", res.Status)
	}
	return nil
}

// ServeHTTP takes one batch.
func (b *bareHooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	digest := sha256.Sum256(body)
	signature, _ := base64.StdEncoding.DecodeString(r.Header.Get("Signature")) // text that is no base64 is no signature
	var batch []int
	if err != nil || !ecdsa.VerifyASN1(&b.key.PublicKey, digest[:], signature) || json.Unmarshal(body, &batch) != nil {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	for _, id := range batch {
		if _, err := b.db.ExecContext(r.Context(), "update bare_mails set reports = reports + 1 where id = $1", id); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
	}
	w.WriteHeader(http.StatusNoContent)
}
