package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"
)

// searchAttributes returns the attributes by which an operator finds incidents.
func searchAttributes() map[string]enums.IndexedValueType {
	return map[string]enums.IndexedValueType{
		"WatchfireClient":      enums.INDEXED_VALUE_TYPE_KEYWORD,
		"WatchfirePhase":       enums.INDEXED_VALUE_TYPE_KEYWORD,
		"WatchfireTurn":        enums.INDEXED_VALUE_TYPE_KEYWORD,
		"WatchfireSeverity":    enums.INDEXED_VALUE_TYPE_KEYWORD,
		"WatchfireContainment": enums.INDEXED_VALUE_TYPE_KEYWORD,
		"WatchfireDrill":       enums.INDEXED_VALUE_TYPE_BOOL,
	}
}

// usableQuery names every attribute: a service that does not know one of them
// rejects the query.
const usableQuery = "WatchfireClient = '' AND WatchfirePhase = '' AND WatchfireTurn = '' AND " +
	"WatchfireSeverity = '' AND WatchfireContainment = '' AND WatchfireDrill = true"

// prepareNamespace creates the namespace and its search attributes when missing
// and returns when clients can use both.
func prepareNamespace(ctx context.Context, o options) error {
	c, err := client.NewLazyClient(client.Options{HostPort: loopback(o.port), Namespace: o.namespace, Logger: silentLogger{}})
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	defer c.Close()
	if err := retry(ctx, func() error { return registerNamespace(ctx, c, o) }); err != nil {
		return fmt.Errorf("register namespace %s: %w", o.namespace, err)
	}
	added := false
	if err := retry(ctx, func() (err error) { added, err = registerAttributes(ctx, c, o.namespace); return err }); err != nil {
		return fmt.Errorf("register search attributes: %w", err)
	}
	if added { // each service reads namespaces at its own pace: wait until all have read them
		pause(ctx, o.namespaceRefresh+o.namespaceRefresh/4)
	}
	return retry(ctx, func() error { return checkUsable(ctx, c, o.namespace) })
}

// registerNamespace creates the namespace unless it exists.
func registerNamespace(ctx context.Context, c client.Client, o options) error {
	_, err := c.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
		Namespace:                        o.namespace,
		WorkflowExecutionRetentionPeriod: durationpb.New(o.retention),
	})
	var exists *serviceerror.NamespaceAlreadyExists
	if errors.As(err, &exists) {
		return nil
	}
	return err
}

// registerAttributes adds the search attributes that the namespace lacks and
// reports whether it added any.
func registerAttributes(ctx context.Context, c client.Client, namespace string) (bool, error) {
	known, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return false, err
	}
	missing := map[string]enums.IndexedValueType{}
	for name, kind := range searchAttributes() {
		if known.GetCustomAttributes()[name] != kind {
			missing[name] = kind
		}
	}
	if len(missing) == 0 {
		return false, nil
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: missing,
	})
	return true, err
}

// checkUsable sends a query that names every search attribute and returns its
// error.
func checkUsable(ctx context.Context, c client.Client, namespace string) error {
	_, err := c.WorkflowService().ListWorkflowExecutions(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: namespace, PageSize: 1, Query: usableQuery,
	})
	return err
}

// retry repeats the attempt until it succeeds or ctx ends; its error then holds
// the last attempt's.
func retry(ctx context.Context, attempt func() error) error {
	for {
		err := attempt()
		if err == nil {
			return nil
		}
		pause(ctx, 50*time.Millisecond)
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// silentLogger drops the client's log lines: retry repeats every failed attempt
// and returns the last error.
type silentLogger struct{}

func (silentLogger) Debug(string, ...any) {}
func (silentLogger) Info(string, ...any)  {}
func (silentLogger) Warn(string, ...any)  {}
func (silentLogger) Error(string, ...any) {}
