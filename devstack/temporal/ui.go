package main

import (
	"context"
	"fmt"
	"io"
	"net/http"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/server_options"
)

// startUI serves the web UI on loopback and returns when its pages answer, with
// the function that stops it.
func startUI(ctx context.Context, o options) (stop func(), err error) {
	ui := uiserver.NewServer(server_options.WithConfigProvider(&uiconfig.Config{
		TemporalGRPCAddress: loopback(o.port),
		Host:                "127.0.0.1",
		Port:                o.uiPort,
		EnableUI:            true,
		DefaultNamespace:    o.namespace,
		DisableNewsFetch:    true,
		NotifyOnNewVersion:  false,
		HideLogs:            true,
		CORS:                uiconfig.CORS{CookieInsecure: true},
		Codec:               uiconfig.Codec{Endpoint: o.codec},
	}))
	// Start ends the process itself when it cannot listen, so its error says nothing.
	go func() { _ = ui.Start() }()
	for _, path := range []string{"/healthz", "/"} {
		if err := retry(ctx, func() error { return checkAnswer(ctx, "http://"+loopback(o.uiPort)+path) }); err != nil {
			ui.Stop()
			return nil, fmt.Errorf("web UI: %w", err)
		}
	}
	return ui.Stop, nil
}

// checkAnswer returns an error unless the address answers 200.
func checkAnswer(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s", response.Status)
	}
	return nil
}
