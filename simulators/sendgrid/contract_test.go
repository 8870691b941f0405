package sendgrid

import (
	"encoding/json"
	"testing"

	"github.com/watchfire-mdr/watchfire/simulators/stage/stagetest"
)

func TestSendGridContract(t *testing.T) {
	c := stagetest.LoadContract(t, "sendgrid/tsg_mail_v3.custom_args-overlay.json", "sendgrid/tsg_logs_v3.json")
	for _, persona := range []string{"delivered", "hard_bounce", "blocked", "suppressed", "deferred_then_delivered"} {
		t.Run(persona, func(t *testing.T) {
			w := newWorld(t)
			c.T = t
			w.Web.Transport = c
			w.Steer(w.SendGridURL, "personas", `{"personas":{"`+testRecipient+`":"`+persona+`"}}`)
			w.sendMail(nil)
			w.Until("the mail has met its fate", func() bool {
				n := map[string]int{"suppressed": 1, "deferred_then_delivered": 3}[persona]
				return len(w.mailsTo(testRecipient)[0].Events) >= max(n, 2) || n == 1 && len(w.mailsTo(testRecipient)[0].Events) == 1
			})
			query, _ := json.Marshal(map[string]any{"query": `to_email="` + testRecipient + `"`, "limit": 1})
			found := w.Do("POST", w.SendGridURL+"/v3/logs", "application/json", string(query), logIn)
			id := found.Get("messages", "sg_message_id").(string)
			w.Do("GET", w.SendGridURL+"/v3/logs/"+id, "", "", logIn)
			w.Do("GET", w.SendGridURL+"/v3/logs/none", "", "", logIn)
			w.sendMail(func(m, _ map[string]any) { m["from"] = map[string]any{"email": "other@watchfire.example"} })
			c.Replay(w.Journal(w.SendGridURL))
		})
	}
	if c.Checked < 50 {
		t.Errorf("only %d requests were checked", c.Checked)
	}
}
