package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// Person is a seeded user who works through the public API only.
type Person struct {
	app, token string
	http       *http.Client
}

// APIError is an answer of the API with a status of 400 or more, as a problem document.
type APIError struct {
	Status int
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Errors []struct {
		Pointer string `json:"pointer"`
		Detail  string `json:"detail"`
	} `json:"errors"`
}

// Error returns the status, the title and the details of the answer.
func (r *APIError) Error() string {
	return fmt.Sprintf("HTTP %d: %s %s %v", r.Status, r.Title, r.Detail, r.Errors)
}

// Person returns the seeded user with a role at a client; client is the client's number, or 0 for the SOC.
func (d Dev) Person(role models.Role, client int) Person { return d.Holder(d.Token(role, client)) }

// Holder returns whoever holds a token.
func (d Dev) Holder(token string) Person {
	return Person{app: d.App, token: token, http: &http.Client{Transport: transport}}
}

// transport keeps enough connections open for a benchmark's load.
var transport = &http.Transport{MaxIdleConns: 256, MaxIdleConnsPerHost: 256}

// Get reads a path below /api/v1 into out. Answers without success are an *APIError, here and in the methods below.
func (p Person) Get(ctx context.Context, path string, out any) error {
	_, err := p.do(ctx, http.MethodGet, path, "", nil, out)
	return err
}

// Post sends a body to a path below /api/v1, with a new idempotency key, and reads the answer into out (nil drops it).
func (p Person) Post(ctx context.Context, path string, body, out any) error {
	_, err := p.PostAs(ctx, uuid.NewString(), path, body, out)
	return err
}

// PostAs is Post under an idempotency key of the caller's. It returns the HTTP status too, 0 when no answer came.
func (p Person) PostAs(ctx context.Context, key, path string, body, out any) (int, error) {
	raw, ok := body.([]byte)
	if !ok {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return 0, err
		}
	}
	return p.do(ctx, http.MethodPost, path, key, raw, out)
}

// Put replaces the resource at a path below /api/v1 and reads the answer into out (nil drops it).
func (p Person) Put(ctx context.Context, path string, body, out any) error {
	raw, err := json.Marshal(body)
	if err == nil {
		_, err = p.do(ctx, http.MethodPut, path, "", raw, out)
	}
	return err
}

// Delete deletes what a path names.
func (p Person) Delete(ctx context.Context, path string) error {
	_, err := p.do(ctx, http.MethodDelete, path, "", nil, nil)
	return err
}

// Command sends a command to an incident and returns its result.
func (p Person) Command(ctx context.Context, r models.Reference, c incident.Command) (incident.CommandResult, error) {
	var result incident.CommandResult
	err := p.Post(ctx, "/incidents/"+string(r)+"/"+c.Name(), c, &result)
	return result, err
}

// do sends one request and reads the answer into out.
func (p Person) do(ctx context.Context, method, path, key string, body []byte, out any) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, p.app+"/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if method == http.MethodPost {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := p.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return res.StatusCode, err
	}
	if res.StatusCode >= http.StatusBadRequest {
		r := &APIError{Status: res.StatusCode}
		if json.Unmarshal(raw, r) != nil {
			r.Detail = string(raw)
		}
		return res.StatusCode, r
	}
	if out == nil {
		return res.StatusCode, nil
	}
	return res.StatusCode, json.Unmarshal(raw, out)
}

// Journal returns the requests that a simulator has received, the oldest first.
func (d Dev) Journal(ctx context.Context, vendor string) ([]stage.Entry, error) {
	var out []stage.Entry
	return out, d.askSimulator(ctx, vendor, http.MethodGet, "journal", nil, &out)
}

// Steer sends faults or personas, named by what, to a simulator.
func (d Dev) Steer(ctx context.Context, vendor, what string, body any) error {
	return d.askSimulator(ctx, vendor, http.MethodPost, what, body, nil)
}

// Effects reads into out what the requests to a simulator really did: calls, mails, isolations and violations.
func (d Dev) Effects(ctx context.Context, vendor string, out any) error {
	return d.askSimulator(ctx, vendor, http.MethodGet, "effects", nil, out)
}

// askSimulator sends one request to a simulator's control address.
func (d Dev) askSimulator(ctx context.Context, vendor, method, what string, body, out any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, d.Simulators[vendor]+"/_sim/"+what, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
		return fmt.Errorf("%s simulator: %s: %s", vendor, res.Status, b)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(out)
}
