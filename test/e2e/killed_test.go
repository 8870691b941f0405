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
	s := newScene(t, 0)
	s.setPhonePersonas("silent", "repeats_then_acknowledges", "acknowledges")
	s.open(models.SeverityCritical)
	s.assess()
	s.publish()
	s.await("the first contact's phone to ring", func() (bool, error) { return s.isBeingCalled(0), nil })
	s.killWorker()
	s.startWorker()
	s.await("the second contact's phone to ring", func() (bool, error) { return s.isBeingCalled(1), nil })
	s.killWorker()
	s.await("the second contact to press 1 while no worker runs", func() (bool, error) {
		calls := s.callsTo(1)
		return len(calls) == 1 && len(calls[0].Keys) == 2, nil
	})
	s.startWorker()
	s.awaitAcknowledgement()
	s.wantCalls(1, 1, 0)
	s.wantMails(notify.PurposePublished)
	outcomes := eventsOf[*incident.ContactCalled](s)
	if len(outcomes) != 2 || outcomes[0].Outcome != notify.OutcomeNoKey || outcomes[1].Outcome != notify.OutcomeAcknowledged {
		t.Errorf("the outcomes of the calls are %+v", outcomes)
	}
}

// The worker dies when every vendor has carried out its request and has not answered yet.
func TestAWorkerKilledBeforeTheVendorsAnswersArriveDoesNothingTwice(t *testing.T) {
	s := newScene(t, 1)
	s.setPhonePersonas("no_answer", "acknowledges")
	slow := func(op string) rule { return rule{Op: op, Kind: "slow", DelayMS: 1500, Times: 1} }
	s.open(models.SeverityCritical)
	s.assess()
	s.faults("sendgrid", slow("send_mail"), slow("send_mail"), slow("send_mail"))
	s.faults("twilio", slow("place_call"))
	s.faults("crowdstrike", slow("device_action"))
	s.isolate()
	s.publish()
	s.await("the vendors to carry out mails, call and isolation", func() (bool, error) {
		return len(s.mails()) == 3 && len(s.calls()) > 0 && len(s.actions()) == 1, nil
	})
	s.killWorker()
	s.startWorker()
	s.awaitAcknowledgement()
	s.awaitContainment(incident.ContainmentContained)
	s.wantMails(notify.PurposePublished)
	s.wantCalls(1, 1, 0)
	s.wantActions("contain")
}

func TestAWorkerKilledDuringIsolationIsolatesOnce(t *testing.T) {
	s := newScene(t, 2)
	s.setDevicePersona("offline")
	s.open(models.SeverityHigh)
	s.assess()
	s.isolate()
	s.await("the EDR's acceptance of the isolation", func() (bool, error) {
		for _, d := range s.deliveries() {
			if d.Kind == notify.EffectIsolate && d.State == notify.EffectAccepted {
				return true, nil
			}
		}
		return false, nil
	})
	if c := s.current().Containment(); c != incident.ContainmentRequested {
		t.Errorf("before the EDR has confirmed, containment is %s, want requested", c)
	}
	s.killWorker()
	s.setDevicePersona("online")
	s.startWorker()
	s.awaitContainment(incident.ContainmentContained)
	s.wantActions("contain")
}

// kills is how often the worker is killed in the test below.
const kills = 8

func TestAWorkerKilledAnywhereLosesNothingAndDoublesNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if given, err := strconv.ParseUint(os.Getenv("WATCHFIRE_SEED"), 10, 64); err == nil {
		seed = given
	}
	t.Logf("WATCHFIRE_SEED=%d repeats the pauses between the kills", seed)
	printProgress("  seed %d", seed)
	ctx, cancel := context.WithCancel(t.Context())
	killer := make(chan error, 1)
	go func() { killer <- killAtRandom(ctx, rand.New(rand.NewPCG(seed, 0))) }()
	defer func() { cancel(); <-killer }()
	killsAreOver := func() bool {
		select {
		case err := <-killer:
			killer <- err
			return true
		default:
			return false
		}
	}
	for n := 0; n == 0 || !killsAreOver(); n++ {
		playLives(t)
	}
	err := <-killer
	killer <- err
	if err != nil {
		t.Fatal(err)
	}
}

// killAtRandom kills the worker again and again, after random pauses, and starts another one at once.
func killAtRandom(ctx context.Context, draw *rand.Rand) error {
	for n := range kills {
		pause := time.NewTimer(time.Duration(50+draw.IntN(1500)) * time.Millisecond)
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
		printProgress("  kill -9 of the worker, %d of %d", n+1, kills)
		lastWorker().Kill()
		if err := system.StartWorker(context.WithoutCancel(ctx)); err != nil {
			return fmt.Errorf("start the worker again: %w", err)
		}
	}
	return nil
}

// playLives plays three incidents side by side, one step of each after the other.
func playLives(t *testing.T) {
	var all []*scene
	for n := range system.Dev.Clients {
		s := newScene(t, n)
		s.retry = true
		s.setPhonePersonas([]string{"silent", "busy", "passes"}[n], "acknowledges")
		all = append(all, s)
	}
	for _, step := range []func(*scene){
		func(s *scene) { s.open(models.SeverityCritical) },
		(*scene).assess, (*scene).isolate, (*scene).publish, (*scene).awaitAcknowledgement,
		func(s *scene) { s.awaitContainment(incident.ContainmentContained) },
		(*scene).settleAndRelease, (*scene).closeIncident,
	} {
		for _, s := range all {
			step(s)
		}
	}
	for _, s := range all {
		s.wantMails(notify.PurposePublished, notify.PurposeClosed)
		s.wantOrderlyCalls()
		s.wantActions("contain", "lift_containment")
		s.wantAgreement()
	}
}

// Two workers share the work. When one of them dies for good, the other one does all of it.
func TestOneOfTwoWorkersTakesOverFromTheOther(t *testing.T) {
	s := newScene(t, 0)
	s.setPhonePersonas("no_answer", "acknowledges")
	first := lastWorker()
	s.startWorker()
	s.open(models.SeverityCritical)
	s.assess()
	s.isolate()
	s.publish()
	s.await("the first contact's phone to ring", func() (bool, error) { return s.isBeingCalled(0), nil })
	printProgress("  kill -9 of the first worker")
	first.Kill()
	s.awaitAcknowledgement()
	s.awaitContainment(incident.ContainmentContained)
	s.wantCalls(1, 1, 0)
	s.wantMails(notify.PurposePublished)
	s.wantActions("contain")
	s.settleAndRelease()
	s.closeIncident()
}

// While the API is down the carrier can neither fetch the words of the call nor report a key press: the round goes on
// to the next contact.
func TestTheAPIKilledDuringACallRound(t *testing.T) {
	s := newScene(t, 1)
	s.setPhonePersonas("acknowledges", "acknowledges")
	s.open(models.SeverityCritical)
	s.assess()
	s.publish()
	s.await("the first contact's phone to ring", func() (bool, error) { return s.isBeingCalled(0), nil })
	printProgress("  kill -9 of the API")
	system.API.Kill()
	s.await("the first call to be over", func() (bool, error) { return !s.isBeingCalled(0), nil })
	if err := system.StartAPI(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.awaitAcknowledgement()
	s.wantOrderlyCalls()
	s.wantMails(notify.PurposePublished)
}
