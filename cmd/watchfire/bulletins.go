package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/reconcile"
	"github.com/watchfire-mdr/watchfire/vendors/phone/twilio"
)

// bulletinWithin bounds one bulletin over one channel.
const bulletinWithin = 30 * time.Second

// longestBulletin bounds a bulletin as a text message, in runes.
const longestBulletin = 300

// bulletins makes the configured channels to the operator. They use nothing of the engine.
func (p *process) bulletins() ([]reconcile.Bulletin, error) {
	c := p.config
	var all []reconcile.Bulletin
	add := func(name string, send func(context.Context, []models.Alarm) error) {
		all = append(all, reconcile.Bulletin{Name: name, Send: func(ctx context.Context, alarms []models.Alarm) error {
			ctx, cancel := context.WithTimeout(ctx, bulletinWithin)
			defer cancel()
			return send(ctx, alarms)
		}})
	}
	if c.OperatorMail != "" {
		routes, err := mailers(c)
		if err != nil {
			return nil, err
		}
		add("mail", func(ctx context.Context, alarms []models.Alarm) error {
			return mailBulletin(ctx, routes, c.OperatorMail, alarms)
		})
	}
	if c.OperatorText != "" {
		carrier, err := twilio.New(twilioSettings(c))
		if err != nil {
			return nil, err
		}
		add("text", func(ctx context.Context, alarms []models.Alarm) error {
			words := []rune(reconcile.Subject(alarms) + "\n" + reconcile.Text(alarms))
			_, err := carrier.Text(ctx, models.OutboundText{To: c.OperatorText, Body: string(words[:min(len(words), longestBulletin)])})
			return err
		})
	}
	if c.OperatorWebhook != nil {
		add("webhook", func(ctx context.Context, alarms []models.Alarm) error {
			return postBulletin(ctx, c.OperatorWebhook.String(), alarms)
		})
	}
	return all, nil
}

// mailBulletin sends a bulletin over the first mailer that takes it.
func mailBulletin(ctx context.Context, routes []activities.Route, to string, alarms []models.Alarm) error {
	text := reconcile.Text(alarms)
	m := models.OutboundMail{
		To: to, Subject: reconcile.Subject(alarms), Text: text, HTML: "<pre>" + html.EscapeString(text) + "</pre>",
		MessageID: uuid.NewString() + "@alarm.watchfire", Opaque: map[string]string{},
	}
	var problems []error
	for _, r := range routes {
		_, err := r.Mailer.Send(ctx, m)
		if err == nil {
			return nil
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// postBulletin posts a bulletin as JSON. Redirects are not followed.
func postBulletin(ctx context.Context, to string, alarms []models.Alarm) error {
	body, err := json.Marshal(map[string]any{"subject": reconcile.Subject(alarms), "alarms": alarms})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return errors.New("the operator's webhook cannot be asked")
	}
	req.Header.Set("Content-Type", "application/json")
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := c.Do(req)
	if err != nil {
		return errors.New("the operator's webhook does not answer") // the error names the address, which may hold a secret
	}
	defer res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("the operator's webhook answered %d", res.StatusCode)
	}
	return nil
}
