package sendgrid

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// searchLogs answers POST /v3/logs. A mail appears once the vendor has processed it.
func (g *simulator) searchLogs(r *stage.Request) stage.Answer {
	var q struct {
		Query    string   `json:"query"`
		Limit    *int     `json:"limit"`
		Subusers []string `json:"subusers"`
	}
	if err := stage.DecodeStrict(r.Payload, &q); err != nil {
		return g.rejectRequest(opLogs, http.StatusBadRequest, reason{"invalid request: " + err.Error(), ""})
	}
	limit := 10
	if q.Limit != nil {
		limit = *q.Limit
	}
	if limit < 1 || limit > 1000 {
		return g.rejectRequest(opLogs, http.StatusBadRequest, reason{"limit must be between 1 and 1000", "limit"})
	}
	match, err := parseQuery(q.Query)
	if err != nil {
		return g.rejectRequest(opLogs, http.StatusBadRequest, reason{"invalid query: " + err.Error(), "query"})
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	found := []map[string]any{}
	for _, m := range slices.Backward(g.messages) {
		if m.status != "" && len(found) < limit && match(m) {
			found = append(found, m.summary())
		}
	}
	return stage.AnswerJSON(http.StatusOK, map[string]any{"messages": found})
}

// readLog answers GET /v3/logs/{sg_message_id}.
func (g *simulator) readLog(id string) stage.Answer {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.byID[id]
	if m == nil || m.status == "" {
		return errorAnswer(http.StatusNotFound, reason{"message not found", "sg_message_id"})
	}
	events := []map[string]any{}
	for _, e := range m.events {
		events = append(events, m.logEvent(e))
	}
	return stage.AnswerJSON(http.StatusOK, map[string]any{
		"from_email": m.from, "to_email": m.to, "sg_message_id": m.id, "subject": m.subject, "status": m.status,
		"api_key_id": "simulated", "client_ip": "127.0.0.1", "category": append([]string{}, m.categories...),
		"custom_args": m.args, "events": events,
	})
}

// logEvent writes an event as the logs do, which do not merge custom arguments into it.
func (m *message) logEvent(e map[string]any) map[string]any {
	out := map[string]any{"custom_args": m.args}
	for name, value := range e {
		out[name] = value
	}
	return out
}

func (m *message) summary() map[string]any {
	s := map[string]any{"from_email": m.from, "to_email": m.to, "sg_message_id": m.id, "subject": m.subject,
		"status": m.status, "sg_message_id_created_at": m.accepted.Format(time.RFC3339)}
	if m.reason != "" {
		s["reason"] = m.reason
	}
	return s
}

// parseQuery understands conditions joined by AND: = on texts, IN on status and
// categories, comparisons of sg_message_id_created_at with TIMESTAMP "…".
func parseQuery(query string) (func(*message) bool, error) {
	words, err := splitQuery(query)
	if err != nil {
		return nil, err
	}
	var tests []func(*message) bool
	for len(words) > 0 {
		if len(tests) > 0 {
			if !strings.EqualFold(words[0], "AND") || len(words) == 1 {
				return nil, fmt.Errorf("conditions are joined by AND")
			}
			words = words[1:]
		}
		test, rest, err := parseCondition(words)
		if err != nil {
			return nil, err
		}
		tests, words = append(tests, test), rest
	}
	return func(m *message) bool {
		return !slices.ContainsFunc(tests, func(test func(*message) bool) bool { return !test(m) })
	}, nil
}

func parseCondition(words []string) (func(*message) bool, []string, error) {
	if len(words) < 3 {
		return nil, nil, fmt.Errorf("a condition is incomplete")
	}
	field, operator := words[0], strings.ToUpper(words[1])
	switch field {
	case "sg_message_id", "subject", "to_email", "reason":
		value, quoted := unquote(words[2])
		if operator != "=" || !quoted {
			return nil, nil, fmt.Errorf("%s needs = and a quoted value", field)
		}
		return func(m *message) bool { return m.matchesField(field, value) }, words[3:], nil
	case "status", "categories":
		values, rest, err := parseList(operator, words[2:])
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", field, err)
		}
		return func(m *message) bool {
			return slices.ContainsFunc(values, func(v string) bool {
				return (field == "status" && m.status == v) || (field == "categories" && slices.Contains(m.categories, v))
			})
		}, rest, nil
	case "sg_message_id_created_at":
		return parseTimeCondition(operator, words)
	}
	return nil, nil, fmt.Errorf("unknown field %q", field)
}

func (m *message) matchesField(field, value string) bool {
	switch field {
	case "subject":
		return m.subject == value
	case "to_email":
		return strings.EqualFold(m.to, value)
	case "reason":
		return m.reason == value
	}
	return m.id == value
}

func parseList(operator string, words []string) ([]string, []string, error) {
	end := slices.Index(words, ")")
	if operator != "IN" || words[0] != "(" || end < 2 {
		return nil, nil, fmt.Errorf("needs IN and a list")
	}
	var values []string
	for i, w := range words[1:end] {
		v, quoted := unquote(w)
		if (i%2 == 0) != quoted || (i%2 == 1 && w != ",") {
			return nil, nil, fmt.Errorf("the list is not valid")
		}
		if quoted {
			values = append(values, v)
		}
	}
	return values, words[end+1:], nil
}

func parseTimeCondition(operator string, words []string) (func(*message) bool, []string, error) {
	if len(words) < 4 || !strings.EqualFold(words[2], "TIMESTAMP") {
		return nil, nil, fmt.Errorf("a time is written TIMESTAMP \"…\"")
	}
	value, _ := unquote(words[3])
	bound, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return nil, nil, fmt.Errorf("the time is not valid")
	}
	order := map[string][]int{">": {1}, "<": {-1}, ">=": {1, 0}, "<=": {-1, 0}}[operator]
	if order == nil {
		return nil, nil, fmt.Errorf("a time is compared with <, >, <= or >=")
	}
	return func(m *message) bool { return slices.Contains(order, m.accepted.Truncate(time.Second).Compare(bound)) }, words[4:], nil
}

// splitQuery splits a query into names, operators, brackets and quoted values (which keep
// their opening quote as a mark).
func splitQuery(query string) ([]string, error) {
	var words []string
	for rest := strings.TrimSpace(query); rest != ""; rest = strings.TrimSpace(rest) {
		n := 0
		switch c := rest[0]; {
		case c == '"' || c == '\'':
			value, length, err := stage.ReadQuoted(rest)
			if err != nil {
				return nil, err
			}
			words, rest = append(words, `"`+value), rest[length:]
			continue
		case strings.ContainsRune("(),", rune(c)):
			n = 1
		case strings.ContainsRune("=<>", rune(c)):
			n = len(rest) - len(strings.TrimLeft(rest, "=<>"))
		default:
			n = strings.IndexFunc(rest+" ", func(r rune) bool { return strings.ContainsRune(" \t\r\n\"'(),=<>", r) })
		}
		words, rest = append(words, rest[:n]), rest[n:]
	}
	return words, nil
}

func unquote(word string) (string, bool) { return strings.CutPrefix(word, `"`) }
