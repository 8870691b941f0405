package workflows_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/workflows"
)

// Everybody is told, also when one cannot be, and only then the notice ends.
func TestANoticeTellsEverybody(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	n := notify.ContactNotice{ClientID: uuid.New(), ID: uuid.New()}
	env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: n.WorkflowID(), TaskQueue: models.QueueIncidents})
	contact := uuid.New()
	all := []notify.NoticeRecipient{
		{Channel: models.ChannelEmail, Contact: contact, Admin: uuid.New()},
		{Channel: models.ChannelEmail, Contact: contact, Change: n.ID, Old: true},
		{Channel: models.ChannelEmail, Contact: contact, Change: n.ID},
		{Channel: models.ChannelSMS, Contact: contact, Change: n.ID},
	}
	var mu sync.Mutex
	var done []string
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		done = append(done, what)
	}
	records, mail, phone := &activities.Records{}, &activities.Mail{}, &activities.Phone{}
	env.RegisterActivity(records)
	env.RegisterActivity(mail)
	env.RegisterActivity(phone)
	env.OnActivity(records.BeginContactNotice, mock.Anything, n).Return(all, nil)
	env.OnActivity(mail.SendNoticeMail, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.NoticeInput) error {
		if in.To.Old {
			note("refused")
			return temporal.NewNonRetryableApplicationError("no such mailbox", string(models.Rejected), nil)
		}
		note("mail " + in.About.Effect(in.To).Key)
		return nil
	})
	env.OnActivity(phone.SendNoticeText, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.NoticeInput) error {
		note("text " + in.About.Effect(in.To).Key)
		return nil
	})
	env.OnActivity(records.CancelEffect, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.CancelInput) error {
		note("cancel " + in.Effect.Key)
		return nil
	})
	env.OnActivity(records.EndContactNotice, mock.Anything, n).Return(func(context.Context, notify.ContactNotice) error {
		note("end")
		return nil
	})
	env.ExecuteWorkflow(workflows.ContactNotice, n)
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	if done[len(done)-1] != "end" {
		t.Errorf("it ended early: %v", done)
	}
	want := []string{"cancel " + n.Effect(all[1]).Key, "end", "mail " + n.Effect(all[0]).Key, "mail " + n.Effect(all[2]).Key, "refused", "text " + n.Effect(all[3]).Key}
	slices.Sort(done)
	slices.Sort(want)
	if !slices.Equal(done, want) {
		t.Errorf("done: %v, want %v", done, want)
	}
}
