package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

func TestAWorkerKilledDuringACallRoundCallsNobodyTwice(t *testing.T) {
	s := at(t, 0)
	s.persona("silent", "repeats_then_acknowledges", "acknowledges")
	s.open(models.SeverityCritical)
	s.assess()
	s.publish()
	s.await("the first contact's phone to ring", func() (bool, error) { return s.inFlight(0), nil })
	s.killWorker()
	s.startWorker()
	s.await("the second contact's phone to ring", func() (bool, error) { return s.inFlight(1), nil })
	s.killWorker()
	s.await("the second contact to press 1 while no worker runs", func() (bool, error) {
		calls := s.callsTo(1)
		return len(calls) == 1 && len(calls[0].Keys) == 2, nil
	})
	s.startWorker()
	s.reached()
	s.wantCalls(1, 1, 0)
	s.wantMails(notify.PurposePublished)
	outcomes := happened[*incident.ContactCalled](s)
	if len(outcomes) != 2 || outcomes[0].Outcome != notify.OutcomeNoKey || outcomes[1].Outcome != notify.OutcomeAcknowledged {
		t.Errorf("the calls came to %+v", outcomes)
	}
}

// The worker dies when every vendor has done what it was asked for, and before it could say so.
func TestAWorkerKilledBeforeTheVendorsAnswersArriveDoesNothingTwice(t *testing.T) {
	s := at(t, 1)
	s.persona("no_answer", "acknowledges")
	slow := func(op string) rule { return rule{Op: op, Kind: "slow", DelayMS: 1500, Times: 1} }
	s.open(models.SeverityCritical)
	s.assess()
	s.faults("sendgrid", slow("send_mail"), slow("send_mail"), slow("send_mail"))
	s.faults("twilio", slow("place_call"))
	s.faults("crowdstrike", slow("device_action"))
	s.isolate()
	s.publish()
	s.await("mails, call and isolation to be taken", func() (bool, error) {
		return len(s.mails()) == 3 && len(s.calls()) > 0 && len(s.orders()) == 1, nil
	})
	s.killWorker()
	s.startWorker()
	s.reached()
	s.contained(incident.ContainmentContained)
	s.wantMails(notify.PurposePublished)
	s.wantCalls(1, 1, 0)
	s.wantOrders("contain")
}

func TestAWorkerKilledDuringIsolationIsolatesOnce(t *testing.T) {
	s := at(t, 2)
	s.steer("crowdstrike", "personas", map[string]any{"personas": map[string]string{s.host: "offline"}})
	s.open(models.SeverityHigh)
	s.assess()
	s.isolate()
	s.await("the EDR to have taken the isolation", func() (bool, error) {
		for _, d := range s.deliveries() {
			if d.Kind == notify.EffectIsolate && d.State == notify.EffectAccepted {
				return true, nil
			}
		}
		return false, nil
	})
	if c := s.now().Containment(); c != incident.ContainmentRequested {
		t.Errorf("before the EDR has confirmed, containment is %s", c)
	}
	s.killWorker()
	s.steer("crowdstrike", "personas", map[string]any{"personas": map[string]string{s.host: "online"}})
	s.startWorker()
	s.contained(incident.ContainmentContained)
	s.wantOrders("contain")
}

// kills is how often the worker dies in the test below.
const kills = 8

func TestAWorkerKilledAnywhereLosesNothingAndDoublesNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if given, err := strconv.ParseUint(os.Getenv("WATCHFIRE_SEED"), 10, 64); err == nil {
		seed = given
	}
	t.Logf("WATCHFIRE_SEED=%d repeats the pauses between the kills", seed)
	tell("  seed %d", seed)
	ctx, cancel := context.WithCancel(t.Context())
	nemesis := make(chan error, 1)
	go func() { nemesis <- killAtRandom(ctx, rand.New(rand.NewPCG(seed, 0))) }()
	defer func() { cancel(); <-nemesis }()
	over := func() bool {
		select {
		case err := <-nemesis:
			nemesis <- err
			return true
		default:
			return false
		}
	}
	for n := 0; n == 0 || !over(); n++ {
		lives(t)
	}
	err := <-nemesis
	nemesis <- err
	if err != nil {
		t.Fatal(err)
	}
}

// killAtRandom ends the worker again and again, after pauses nobody can foresee, and starts another at once.
func killAtRandom(ctx context.Context, draw *rand.Rand) error {
	for n := range kills {
		pause := time.NewTimer(time.Duration(50+draw.IntN(1500)) * time.Millisecond)
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
		tell("  kill -9 of the worker, %d of %d", n+1, kills)
		worker().Kill()
		if err := house.StartWorker(context.WithoutCancel(ctx)); err != nil {
			return fmt.Errorf("start the worker again: %w", err)
		}
	}
	return nil
}

// lives plays three incidents side by side, one step of each after the other.
func lives(t *testing.T) {
	var all []*scene
	for n := range house.Dev.Clients {
		s := at(t, n)
		s.rough = true
		s.persona([]string{"silent", "busy", "passes"}[n], "acknowledges")
		all = append(all, s)
	}
	for _, step := range []func(*scene){
		func(s *scene) { s.open(models.SeverityCritical) },
		(*scene).assess, (*scene).isolate, (*scene).publish, (*scene).reached,
		func(s *scene) { s.contained(incident.ContainmentContained) },
		(*scene).settle, (*scene).closeIt,
	} {
		for _, s := range all {
			step(s)
		}
	}
	for _, s := range all {
		s.wantMails(notify.PurposePublished, notify.PurposeClosed)
		s.wantOrderlyCalls()
		s.wantOrders("contain", "lift_containment")
		s.wantAgreement()
	}
}

// Two workers share the work, and when one of them dies for good the other one has it all.
func TestTwoWorkersSideBySideAndThenOne(t *testing.T) {
	s := at(t, 0)
	s.persona("no_answer", "acknowledges")
	first := worker()
	s.startWorker()
	s.open(models.SeverityCritical)
	s.assess()
	s.isolate()
	s.publish()
	s.await("the first contact's phone to ring", func() (bool, error) { return s.inFlight(0), nil })
	tell("  kill -9 of the first worker")
	first.Kill()
	s.reached()
	s.contained(incident.ContainmentContained)
	s.wantCalls(1, 1, 0)
	s.wantMails(notify.PurposePublished)
	s.wantOrders("contain")
	s.settle()
	s.closeIt()
}

// While the API is down nobody can be read the incident and no key can be taken: the round goes on to who can.
func TestTheAPIKilledDuringACallRound(t *testing.T) {
	s := at(t, 1)
	s.persona("acknowledges", "acknowledges")
	s.open(models.SeverityCritical)
	s.assess()
	s.publish()
	s.await("the first contact's phone to ring", func() (bool, error) { return s.inFlight(0), nil })
	tell("  kill -9 of the API")
	house.API.Kill()
	s.await("the first call to be over", func() (bool, error) { return !s.inFlight(0), nil })
	if err := house.StartAPI(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.reached()
	s.wantOrderlyCalls()
	s.wantMails(notify.PurposePublished)
}
