package observability

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// Connection says where Temporal is and how to speak to it. The zero value of each field but the first two is allowed.
type Connection struct {
	Address, Namespace string

	TLS               bool
	CAFile            string // PEM of who signs the server's certificate; "": who this machine trusts
	CertFile, KeyFile string // PEM of the client's certificate; read at every handshake, so that they may be renewed
	ServerName        string // in the server's certificate; "": the host of the address
	APIKey            string
}

// Options returns the options of a client that seals its payloads with p.
func (c Connection) Options(p *Payloads) (client.Options, error) {
	o := client.Options{HostPort: c.Address, Namespace: c.Namespace, DataConverter: p.DataConverter(), FailureConverter: p.FailureConverter()}
	if !c.TLS {
		o.ConnectionOptions.TLSDisabled = true // an API key would turn it on
		return o, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return o, fmt.Errorf("TEMPORAL_TLS_CA_FILE: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return o, errors.New("TEMPORAL_TLS_CA_FILE: the file has no certificate in PEM form")
		}
	}
	if c.CertFile != "" {
		read := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
			if err != nil {
				return nil, fmt.Errorf("TEMPORAL_TLS_CERT_FILE and TEMPORAL_TLS_KEY_FILE: %w", err)
			}
			return &pair, nil
		}
		if _, err := read(); err != nil { // at the start already
			return o, err
		}
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return read() }
	}
	o.ConnectionOptions.TLS = t
	if c.APIKey != "" {
		o.Credentials = client.NewAPIKeyStaticCredentials(c.APIKey)
	}
	return o, nil
}

// Engine is a Temporal client that opens what it reads of workflows: memos and histories, too, which the SDK hands out as
// they are.
type Engine struct {
	client.Client

	payloads  *Payloads
	namespace string
}

// NewEngine wraps a client that was made with Connection.Options.
func NewEngine(c client.Client, p *Payloads, namespace string) *Engine {
	return &Engine{Client: c, payloads: p, namespace: namespace}
}

// Payloads returns the codec of all workflows.
func (e *Engine) Payloads() *Payloads { return e.payloads }

// of returns a reader of what belongs to a workflow.
func (e *Engine) of(workflow string) *Payloads {
	p := e.payloads.of(place{namespace: e.namespace, workflow: workflow})
	p.whole = true
	return p
}

// DescribeWorkflowExecution describes a workflow, with its memo opened. A plain memo stays as it is: it came with the
// workflow from before payloads were sealed, and nothing follows from it alone.
func (e *Engine) DescribeWorkflowExecution(ctx context.Context, workflowID, runID string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	d, err := e.Client.DescribeWorkflowExecution(ctx, workflowID, runID)
	if err != nil {
		return nil, err
	}
	fields := d.GetWorkflowExecutionInfo().GetMemo().GetFields()
	for name, sealed := range fields {
		if opened, err := e.of(workflowID).open(sealed); err == nil {
			fields[name] = opened
		}
	}
	return d, nil
}

// GetWorkflowHistory reads a history with its payloads opened; what cannot be opened stays sealed.
func (e *Engine) GetWorkflowHistory(ctx context.Context, workflowID, runID string, longPoll bool, filter enumspb.HistoryEventFilterType) client.HistoryEventIterator {
	return &openHistory{HistoryEventIterator: e.Client.GetWorkflowHistory(ctx, workflowID, runID, longPoll, filter), ctx: ctx, own: e.of(workflowID), any: e.payloads}
}

type openHistory struct {
	client.HistoryEventIterator

	ctx      context.Context
	own, any *Payloads // of the workflow itself; of the workflows that it speaks to
}

// Next returns the next event.
func (h *openHistory) Next() (*historypb.HistoryEvent, error) {
	event, err := h.HistoryEventIterator.Next()
	if err != nil {
		return nil, err
	}
	p := h.own
	switch event.GetEventType() {
	case enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED,
		enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED, enumspb.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
		p = h.any
	}
	if m := event.GetUserMetadata(); m != nil && event.GetWorkflowExecutionStartedEventAttributes() != nil {
		for _, text := range []**commonpb.Payload{&m.Summary, &m.Details} { // a child's are sealed by its parent
			if opened, err := h.any.open(*text); err == nil {
				*text = opened
			}
		}
		event.UserMetadata = nil
		defer func() { event.UserMetadata = m }()
	}
	return event, p.openAll(h.ctx, event)
}
