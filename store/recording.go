package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// Recorded returns the Seq of an incident's last event in the store. NotFound: the audience may not see the incident.
func (tx *Tx) Recorded(r models.Reference) (int, error) {
	var row incidentRow
	err := tx.about("incidents", "reference", r).Select("seq").Take(&row).Error
	return row.Seq, notFound(problem("read incident", err), "incident")
}

// Recorded returns the Seq of an incident's last event in the store, in one round trip; the zero client means every
// client, for the SOC. NotFound: the audience may not see the incident.
func (s *Store) Recorded(ctx context.Context, as Audience, client uuid.UUID, r models.Reference) (int, error) {
	var seq int
	of, id := "$2", any(client)
	if client == uuid.Nil {
		of, id = "(select id from clients where number = $2)", r.ClientNumber()
	}
	err := s.send(ctx, func(b *pgx.Batch) {
		b.Queue(takeRole, roleSettings(as.role(), client, client == uuid.Nil)...)
		s.holdUser(b)
		b.Queue("select seq from incidents where reference = $1 and client_id = "+of, r, id).
			QueryRow(func(row pgx.Row) error { return row.Scan(&seq) })
	})
	return seq, notFound(problem("read incident", err), "incident")
}

// Recording is how far the store has an incident, and what it knows of a command to it.
type Recording struct {
	Seq   int                     // of the last event
	Known *incident.CommandResult // of the command; nil while its events are not in the store
	Now   time.Time               // the database's
}

// RecordedCommand returns what the store knows of the command under a request id, in one round trip. The zero client means
// every client, for the SOC. NotFound: the audience may not see the incident.
func (s *Store) RecordedCommand(ctx context.Context, as Audience, client uuid.UUID, r models.Reference, request string) (out Recording, err error) {
	err = s.send(ctx, func(b *pgx.Batch) { s.queueRecording(b, as, client, r, request, &out) })
	return out, notFound(problem("find command", err), "incident")
}

// AdmitCommand does what RecordedCommand does, and then what Use does if judge wants the command to be sent, in two round
// trips. judge may be asked although a share is used up.
func (s *Store) AdmitCommand(ctx context.Context, as Audience, client uuid.UUID, r models.Reference, request string,
	judge func(Recording) (wanted bool, err error), limits ...Limit,
) error {
	var found Recording
	var judged error
	err := s.useAfter(ctx, func(b *pgx.Batch) { s.queueRecording(b, as, client, r, request, &found) }, func() (wanted bool, err error) {
		wanted, judged = judge(found)
		return wanted, judged
	}, limits)
	if judged != nil {
		return judged
	}
	return notFound(problem("admit command", err), "incident")
}

// queueRecording queues the look at the command under a request id.
func (s *Store) queueRecording(b *pgx.Batch, as Audience, client uuid.UUID, r models.Reference, request string, out *Recording) {
	of, id := "$2", any(client)
	if client == uuid.Nil {
		of, id = "(select id from clients where number = $2)", r.ClientNumber()
	}
	b.Queue(takeRole, roleSettings(as.role(), client, client == uuid.Nil)...)
	s.holdUser(b)
	b.Queue(`select i.seq, now(), c.command, c.fingerprint, c.first_seq, c.last_seq from incidents i left join incident_commands c
		on c.client_id = i.client_id and c.incident = i.reference and c.request_id = $3
		where i.reference = $1 and i.client_id = `+of, r, id, request).QueryRow(func(row pgx.Row) error {
		var command, asked *string
		var first, last *int
		*out = Recording{}
		if err := row.Scan(&out.Seq, &out.Now, &command, &asked, &first, &last); err != nil {
			return err
		}
		out.Now = out.Now.UTC()
		if command != nil {
			out.Known = &incident.CommandResult{RequestID: request, Command: *command, Fingerprint: *asked, FirstSeq: *first, LastSeq: *last}
		}
		return nil
	})
}
