package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"go.temporal.io/api/workflowservice/v1"
	"golang.org/x/sync/errgroup"

	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// live lets incidents live on both sides of a backup, restores the backup, settles and checks.
func (d disaster) live(ctx context.Context, w *world) error {
	talked, closing, quiet, err := w.beforeBackup(ctx)
	if err != nil {
		return fmt.Errorf("before the backup: %w", err)
	}
	var dropped, unwanted *story
	if d.drops() {
		if dropped, err = w.open(ctx, models.SeverityLow); err != nil {
			return err
		}
	}
	rushed, err := w.rush(ctx)
	if err != nil {
		return fmt.Errorf("an incident with mails under way: %w", err)
	}
	if err := w.backUp(ctx, databases(d.store)); err != nil {
		return err
	}
	if err := rushed.awaitMails(ctx); err != nil {
		return err
	}
	say("backed up %s, with %d incidents open", strings.Join(databases(d.store), " and "), len(w.stories))
	if err := w.afterBackup(ctx, d.batch, talked, closing, quiet); err != nil {
		return fmt.Errorf("after the backup: %w", err)
	}
	say("since then one incident was released, one closed, one published and isolated, %d were opened, %d of them are over", 2+d.batch, 1+d.batch)
	if d.drops() {
		if unwanted, err = w.open(ctx, models.SeverityLow); err == nil {
			err = dropped.send(ctx, models.RoleAnalyst, &incident.Recommend{Text: "To be dropped."})
		}
		if err != nil {
			return err
		}
	}
	known, err := w.references(ctx)
	if err != nil {
		return err
	}
	w.stopProduct()
	if !d.store {
		w.Temporal.Stop()
	}
	if err := w.restore(ctx, databases(d.store)); err != nil {
		return err
	}
	if !d.store {
		if err := w.Temporal.Restart(ctx); err != nil {
			return err
		}
	}
	say("stopped API and worker, restored the backup")
	if d.drops() {
		if err := w.drop(ctx, dropped, unwanted); err != nil {
			return err
		}
	}
	fresh, err := d.goOn(ctx, w, talked)
	if err != nil {
		return err
	}
	if slices.Contains(known, fresh.ref) {
		return fmt.Errorf("the new incident got the reference %s, which existed before", fresh.ref)
	}
	say("a new incident got %s, which no incident had before", fresh.ref)
	if err := w.judge(ctx); err != nil {
		return err
	}
	if err := w.finish(ctx); err != nil {
		return fmt.Errorf("after the restore: %w", err)
	}
	return w.judge(ctx)
}

// rush publishes an incident whose mails wait, because both mailers are down.
func (w *world) rush(ctx context.Context) (s *story, err error) {
	down := func(vendor, op string) func() error {
		return func() error {
			return w.Dev.Steer(ctx, vendor, "faults", map[string]any{"rules": []any{map[string]string{"op": op, "kind": "refuse"}}})
		}
	}
	if s, err = w.open(ctx, models.SeverityCritical); err != nil {
		return nil, err
	}
	return s, steps(down("sendgrid", "send_mail"), down("smtp", "connect"), func() error { return s.publish(ctx) })
}

// awaitMails lets the mailers work again, and waits until every contact was mailed.
func (s *story) awaitMails(ctx context.Context) error {
	for _, vendor := range []string{"sendgrid", "smtp"} {
		if err := s.w.Dev.Steer(ctx, vendor, "faults", map[string]any{"clear": true, "rules": []any{}}); err != nil {
			return err
		}
	}
	return await(ctx, string(s.ref)+": the mails", func() error {
		var page struct{ Items []incident.Event }
		err := s.w.Dev.Person(models.RoleAnalyst, 0).Get(ctx, "/incidents/"+string(s.ref)+"/events?limit=200", &page)
		mailed := map[string]bool{}
		for _, e := range page.Items {
			if d, ok := e.Data.(*incident.ContactMessaged); ok && strings.HasSuffix(d.Effect, "/email/1") {
				mailed[d.Effect] = true
			}
		}
		if err == nil && len(mailed) < 3 {
			err = fmt.Errorf("%d of 3 contacts were mailed", len(mailed))
		}
		return err
	})
}

// drops reports whether the operator drops something of what the database lost, in this disaster.
func (d disaster) drops() bool { return d.store && !d.hurry }

// drop lets the operator drop what they could recover: an event of one incident, and all of another one.
func (w *world) drop(ctx context.Context, s, unwanted *story) error {
	for _, refused := range []struct{ flag, because string }{{"-restart", "1 events that the database lost"}, {"-end", "the database knows"}} {
		if _, err := w.reconcile(ctx, refused.flag, string(s.ref)); err == nil || !strings.Contains(err.Error(), refused.because) {
			return fmt.Errorf("watchfire reconcile %s %s was not refused because %s: %w", refused.flag, s.ref, refused.because, err)
		}
	}
	_, restarted := w.reconcile(ctx, "-discard", string(s.ref))
	_, ended := w.reconcile(ctx, "-end", string(unwanted.ref))
	w.stories = slices.DeleteFunc(w.stories, func(other *story) bool { return other == unwanted })
	say("  %s was started again without its last event, %s ended, because the operator said so; neither without a word", s.ref, unwanted.ref)
	return errors.Join(restarted, ended)
}

// beforeBackup opens incidents that the backup knows.
func (w *world) beforeBackup(ctx context.Context) (talked, closing, quiet *story, err error) {
	var group errgroup.Group
	group.Go(func() (err error) {
		if talked, err = w.open(ctx, models.SeverityCritical); err != nil {
			return err
		}
		return errors.Join(talked.isolate(ctx), talked.publish(ctx), talked.comment(ctx))
	})
	group.Go(func() (err error) {
		if closing, err = w.open(ctx, models.SeverityHigh); err != nil {
			return err
		}
		return closing.publish(ctx)
	})
	group.Go(func() (err error) {
		quiet, err = w.open(ctx, models.SeverityCritical)
		return err
	})
	group.Go(func() error { // nothing happens to it any more
		s, err := w.open(ctx, models.SeverityCritical)
		if err != nil {
			return err
		}
		return errors.Join(s.isolate(ctx), s.publish(ctx))
	})
	return talked, closing, quiet, group.Wait()
}

// afterBackup goes on with those incidents and opens others: one that stays open, one that is dismissed, and a batch
// that is closed.
func (w *world) afterBackup(ctx context.Context, batch int, talked, closing, quiet *story) error {
	var group errgroup.Group
	group.Go(func() error { return errors.Join(talked.comment(ctx), talked.release(ctx)) })
	group.Go(func() error { return errors.Join(closing.comment(ctx), closing.end(ctx)) })
	group.Go(func() error { return errors.Join(quiet.isolate(ctx), quiet.publish(ctx), quiet.comment(ctx)) })
	group.Go(func() error {
		s, err := w.open(ctx, models.SeverityCritical)
		if err != nil {
			return err
		}
		return errors.Join(s.isolate(ctx), s.publish(ctx), s.comment(ctx))
	})
	group.Go(func() error {
		s, err := w.open(ctx, models.SeverityLow)
		if err != nil {
			return err
		}
		return s.dismiss(ctx)
	})
	for range batch {
		group.Go(func() error {
			s, err := w.open(ctx, models.SeverityCritical)
			if err != nil {
				return err
			}
			return steps(func() error { return s.isolate(ctx) }, func() error { return s.publish(ctx) }, func() error { return s.comment(ctx) },
				func() error { return s.release(ctx) }, func() error { return s.end(ctx) })
		})
	}
	return group.Wait()
}

// goOn settles the differences and starts the product, in the order of the disaster. It opens a new incident as soon as
// the product runs.
func (d disaster) goOn(ctx context.Context, w *world, talked *story) (fresh *story, err error) {
	if !d.hurry {
		if err := w.settle(ctx); err != nil {
			return nil, err
		}
		if err := w.startProduct(ctx); err != nil {
			return nil, err
		}
		say("started API and worker")
		return w.openWhenUp(ctx)
	}
	if err := w.startProduct(ctx); err != nil {
		return nil, err
	}
	if fresh, err = w.openWhenUp(ctx); err != nil {
		return nil, err
	}
	say("started API and worker; %s was opened before anything was settled", fresh.ref)
	if err := talked.comment(ctx); err != nil {
		return nil, err
	}
	if d.store {
		if err := w.awaitRefusal(ctx, talked); err != nil {
			return nil, err
		}
	}
	return fresh, w.settle(ctx)
}

// openWhenUp opens an incident at the client of the newest one, which a database of before may not know.
func (w *world) openWhenUp(ctx context.Context) (fresh *story, err error) {
	newest := w.stories[len(w.stories)-1]
	err = await(ctx, "the API to open an incident", func() error {
		fresh, err = w.openAt(ctx, newest.number, models.SeverityLow)
		return err
	})
	return fresh, err
}

// awaitRefusal waits until an incident whose events the database does not take refuses commands, and the operator is
// told.
func (w *world) awaitRefusal(ctx context.Context, s *story) error {
	err := await(ctx, "the alarm not_recorded about "+string(s.ref), func() error {
		open, err := w.db.OpenAlarms(ctx)
		if err == nil && !slices.ContainsFunc(open, func(a models.Alarm) bool { return a.Kind == models.AlarmNotRecorded && a.Subject == string(s.ref) }) {
			err = errors.New("it is not open")
		}
		return err
	})
	if err != nil {
		return err
	}
	_, err = w.Dev.Person(models.RoleAnalyst, 0).Command(ctx, s.ref, &incident.Comment{Text: "refused"})
	var answer *stack.APIError
	if !errors.As(err, &answer) || answer.Status != http.StatusServiceUnavailable {
		return fmt.Errorf("a command on %s was answered with %w, want 503", s.ref, err)
	}
	say("the database does not take the events of %s: the operator has the alarm not_recorded, commands get 503", s.ref)
	return nil
}

// references lists the incidents that the engine or the drill knows.
func (w *world) references(ctx context.Context) (all []models.Reference, err error) {
	for _, s := range w.stories {
		all = append(all, s.ref)
	}
	for next := []byte(nil); ; {
		page, err := w.engine.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: "WorkflowType = '" + models.IncidentWorkflow + "'", NextPageToken: next,
		})
		if err != nil {
			return nil, err
		}
		for _, x := range page.GetExecutions() {
			all = append(all, models.Reference(strings.TrimPrefix(x.GetExecution().GetWorkflowId(), "incident/")))
		}
		if next = page.GetNextPageToken(); len(next) == 0 {
			return all, nil
		}
	}
}

// finish goes on with every incident that is open: it is commented, released and closed.
func (w *world) finish(ctx context.Context) error {
	var group errgroup.Group
	open := 0
	for _, s := range w.stories {
		if s.phase == incident.PhaseClosed || s.phase == incident.PhaseDismissed {
			continue
		}
		open++
		group.Go(func() error {
			if s.phase != incident.PhasePublished {
				return s.dismiss(ctx)
			}
			if err := s.comment(ctx); err != nil {
				return err
			}
			if s.wants == "isolated" {
				if err := s.release(ctx); err != nil {
					return err
				}
			}
			return s.end(ctx)
		})
	}
	err := group.Wait()
	if err == nil {
		say("all %d open incidents went on and came to their end", open)
	}
	return err
}
