package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/watchfire-mdr/watchfire/devstack/stack"
)

// List is how long the first page of a list takes while there are few rows, and while there are many.
type List struct {
	Path  string  `json:"path"` // with the filter
	For   string  `json:"for"`
	Few   Latency `json:"few"`
	Many  Latency `json:"many"`
	Ratio float64 `json:"ratio_of_p50"`
}

// Lists are the lists of incidents and alerts. There is an alert for each incident.
type Lists struct {
	Few   int     `json:"few"` // incidents
	Many  int     `json:"many"`
	Each  []List  `json:"each"`
	Other float64 `json:"other_load"`
}

const (
	fewRows, manyRows = 10_000, 1_000_000
	listsAsked        = 100 // times each list
	// rowsAtOnce bounds a statement that adds rows.
	rowsAtOnce = 100_000
	// listRatio and listP99 are the aims: of the medians, and in ms of the slowest with many rows.
	listRatio, listP99 = 1.3, 10.0
)

// listed is a list, and who asks for it.
type listed struct {
	path, who string
	by        stack.Person
}

// lists are the lists of incidents and of alerts with each of their filters, for the SOC and for a client.
func (a *arena) lists() (all []listed) {
	filters := []string{"", "open_tasks=true", "open_tasks=false", "drill=true", "drill=false"}
	for name, values := range map[string][]string{
		"phase":       {"investigating", "published", "closure_requested", "dismissed", "closed"},
		"turn":        {"soc", "client", "none"},
		"containment": {"none", "requested", "partial", "contained", "failed", "released"},
		"severity":    {"critical", "high", "medium", "low"},
	} {
		for _, v := range values {
			filters = append(filters, name+"="+v)
		}
	}
	slices.Sort(filters)
	p := a.people[0]
	ofClient := fmt.Sprintf("client=%d", p.client)
	for _, f := range filters {
		all = append(all, listed{"/incidents?" + f, "SOC", p.analyst}, listed{"/incidents?" + f, "client", p.responder})
		if f != "" {
			all = append(all, listed{"/incidents?" + f + "&" + ofClient, "SOC", p.analyst})
		}
	}
	for _, f := range []string{"", "state=new", "state=linked", "problem=true", "source=realtime", "source=client_report", "source=global_incident", ofClient, "state=new&" + ofClient} {
		all = append(all, listed{"/alerts?" + f, "SOC", p.analyst})
	}
	return all
}

// addRows adds incidents that are over for the reconciler, whatever their phase, and an alert for each: until there are so
// many. They belong to two hundred clients, the first of the seeded ones among them. One in seventy is not over yet.
func (a *arena) addRows(ctx context.Context, from, until int) error {
	conn := a.databases.conns[dbOurs]
	add := func(what, statement string, args ...any) error {
		if _, err := conn.Exec(ctx, statement, args...); err != nil {
			return fmt.Errorf("add %s: %w", what, err)
		}
		return nil
	}
	// no trigger asks for the decisions and reports behind them
	if err := add("rows", "set session_replication_role = replica"); err != nil {
		return err
	}
	err := add("clients", `insert into clients (id, number, legal_name, time_zone, language, contract, edr, policy, request_id)
		select gen_random_uuid(), 500000 + n, 'Client ' || n, time_zone, language, contract, edr, policy, 'list ' || n
		from clients, generate_series(1, 199) n where number = $1 on conflict do nothing`, a.people[0].client)
	for ; err == nil && from < until; from += rowsAtOnce {
		to := min(from+rowsAtOnce, until)
		if err = add("incidents", addIncidents, from+1, to, a.people[0].client); err == nil {
			err = add("alerts", addAlerts, from+1, to, a.people[0].client)
		}
	}
	if err == nil {
		err = add("statistics", "vacuum analyze incidents, alerts")
	}
	return err
}

const (
	// ofClients joins a client to each row n.
	ofClients = ` join lateral (select id, number from clients where number = case n % 200 when 0 then $3::int else 500000 + n % 200 end) c on true`

	addIncidents = `insert into incidents (client_id, reference, title, severity, phase, turn, containment, drill, expedited, revision, open_tasks,
			seq, last_hash, state, request_id, fingerprint, running, ended, opened_at, updated_at, shown, shown_title, shown_severity)
		select c.id, 'SI-' || c.number || '-' || 100000 + n, 'Ransomware on file server ' || n, said ->> 'severity',
			case when r < 3 then 'investigating' when r < 12 then 'published' when r < 13 then 'closure_requested' when r < 50 then 'dismissed' else 'closed' end,
			case when r < 8 then 'soc' when r < 13 then 'client' else 'none' end,
			case when r < 5 then 'contained' when r < 6 then 'partial' when r < 7 then 'failed' when r < 300 then 'released' else 'none' end,
			r % 100 = 99, false, case when shown is null then 0 else 1 end, case when r < 6 then 1 else 0 end,
			20, decode(repeat('00', 32), 'hex'), said, 'list ' || n, '', true, true, at, at, shown, shown -> 'assessment' ->> 'title', shown ->> 'severity'
		from (select n, abs(hashint4(n)) % 1000 as r, now() - (2000000 - n) * interval '1 minute' as at, jsonb_build_object(
				'severity', (array['critical', 'high', 'medium', 'low'])[1 + n / 7 % 4],
				'assessment', jsonb_build_object('title', 'Ransomware on file server ' || n, 'summary', repeat('It encrypts. ', 60))) as said
			from generate_series($1::int, $2::int) n) x
			join lateral (select case when r < 3 or r between 13 and 49 then null else said end as shown) y on true` + ofClients

	addAlerts = `insert into alerts (client_id, id, source, finding_id, title, detail, severity, techniques, indicators, hostnames, received_at, updated_at,
			version, problem, incident)
		select c.id, gen_random_uuid(), (array['realtime', 'hunting', 'integration'])[1 + n % 3], 'list ' || n, 'Alert', repeat('It runs. ', 20), 'high',
			'[]', '[]', '["ws1"]', at, at, 1, case abs(hashint4(n)) % 5000 when 0 then 'no severity' else '' end,
			case when abs(hashint4(n)) % 50 = 0 then null else 'SI-' || c.number || '-' || 100000 + n end
		from (select n, now() - (2000000 - n) * interval '1 minute' as at from generate_series($1::int, $2::int) n) x` + ofClients
)

// measureLists asks for each list while there are few rows, and again while there are many.
func (a *arena) measureLists(ctx context.Context, o Options) (*Lists, error) {
	l := &Lists{Few: fewRows, Many: manyRows}
	all := a.lists()
	before, from := a.processes.read(), 0
	for _, rows := range []int{fewRows, manyRows} {
		o.Progress(fmt.Sprintf("lists: adding incidents until there are %d", rows))
		if err := a.addRows(ctx, from, rows); err != nil {
			return l, err
		}
		from = rows
		for n, list := range all {
			took, err := list.ask(ctx)
			if err != nil {
				return l, err
			}
			if rows == fewRows {
				l.Each = append(l.Each, List{Path: list.path, For: list.who, Few: took})
				continue
			}
			l.Each[n].Many, l.Each[n].Ratio = took, took.P50/l.Each[n].Few.P50
		}
	}
	l.Other = a.processes.read().other(before)
	return l, nil
}

// ask asks for a list again and again.
func (l listed) ask(ctx context.Context) (Latency, error) {
	var each []time.Duration
	for range listsAsked {
		d, err := measure(func() error { return l.by.Get(ctx, l.path, nil) })
		if err != nil {
			return Latency{}, fmt.Errorf("%s: %w", l.path, err)
		}
		each = append(each, d)
	}
	return newLatency(each), nil
}

// print writes the lists that miss an aim, and the slowest.
func (l *Lists) print(out io.Writer) {
	if l == nil {
		return
	}
	fmt.Fprintf(out, "\n%d lists, of %d and of %d incidents and as many alerts; p50 / p99 / greatest in ms; aims: p50 ≤ %.1f times, p99 ≤ %.0f ms\n",
		len(l.Each), l.Few, l.Many, listRatio, listP99)
	slowest := slices.MaxFunc(l.Each, func(x, y List) int { return int(1e6*x.Many.P99) - int(1e6*y.Many.P99) })
	missed := 0
	for _, e := range l.Each {
		verdict := "the slowest"
		if e.Ratio > listRatio || e.Many.P99 > listP99 {
			verdict = "missed"
			missed++
		} else if e != slowest {
			continue
		}
		fmt.Fprintf(out, "  %-44s for the %-6s few %18s   many %18s   p50 %.2f times  %s\n", e.Path, e.For, e.Few, e.Many, e.Ratio, verdict)
	}
	fmt.Fprintf(out, "  %d of %d miss an aim; other work %.0f %% of the machine\n", missed, len(l.Each), 100*l.Other)
}
