package desk_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/watchfire-mdr/watchfire/desk"
	"github.com/watchfire-mdr/watchfire/models"
)

func read(t testing.TB, file string) models.Alert {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "ocsf", file))
	if err != nil {
		t.Fatal(err)
	}
	return desk.ReadOCSF(body)
}

func TestADetectionFindingIsNormalised(t *testing.T) {
	want := models.Alert{
		FindingID: "edr-7f3a", Title: "Credential dumping on a domain controller",
		Detail: "procdump64.exe read the memory of lsass.exe.", Severity: models.SeverityCritical,
		Techniques: []string{"T1003.001", "T1078"},
		Indicators: []models.Indicator{
			{Type: "ip", Value: "203.0.113.7"}, {Type: "domain", Value: "malware.example"},
			{Type: "url", Value: "https://malware.example/a"}, {Type: "file_name", Value: "procdump64.exe"},
			{Type: "sha256", Value: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
			{Type: "other", Value: "d41d8cd98f00b204e9800998ecf8427e"}, {Type: "email", Value: "phish@malware.example"},
			{Type: "ip", Value: "198.51.100.9"},
		},
		Hostnames:  []string{"dc01.client.example", "ws17.client.example"},
		OccurredAt: time.UnixMilli(1767600000123).UTC(),
	}
	if got := read(t, "credential-dumping.json"); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestATimeInSecondsIsUnderstood(t *testing.T) {
	a := read(t, "seconds.json")
	if want := time.Date(2024, 8, 13, 15, 58, 20, 0, time.UTC); !a.OccurredAt.Equal(want) {
		t.Errorf("occurred at %s, want %s", a.OccurredAt, want)
	}
	if a.Problem != "" || a.Severity != models.SeverityLow || a.Detail != "Request from a suspicious actor" {
		t.Errorf("%+v", a)
	}
}

func TestWhatIsNoDetectionFindingIsMarked(t *testing.T) {
	for file, problem := range map[string]string{
		"process-activity.json": "class_uid is not 2004", "not-ocsf.json": "no class_uid",
	} {
		a := read(t, file)
		if !strings.Contains(a.Problem, problem) || !strings.HasPrefix(a.FindingID, "sha256:") || a.Title == "" || !a.Severity.IsValid() {
			t.Errorf("%s: %+v", file, a)
		}
	}
}

func TestSeveritiesAreTranslated(t *testing.T) {
	for id, want := range map[string]models.Severity{
		"0": models.SeverityLow, "1": models.SeverityLow, "2": models.SeverityLow, "3": models.SeverityMedium,
		"4": models.SeverityHigh, "5": models.SeverityCritical, "6": models.SeverityCritical, "99": models.SeverityLow,
	} {
		a := desk.ReadOCSF([]byte(`{"class_uid":2004,"severity_id":` + id + `,"finding_info":{"uid":"u","title":"t"}}`))
		if a.Severity != want {
			t.Errorf("%s: %s, want %s", id, a.Severity, want)
		}
	}
}

func TestAMemberThatCanBeReadTwoWaysIsMarked(t *testing.T) {
	for body, problem := range map[string]string{
		`{"class_uid":2004,"severity_id":5,"severity_id":1,"finding_info":{"uid":"u","title":"t"}}`:                         "severity_id is given twice",
		`{"class_uid":2004,"severity_id":5,"Severity_ID":1,"finding_info":{"uid":"u","title":"t"}}`:                         "severity_id is written in another case",
		`{"class_uid":2004,"SEVERITY_ID":1,"finding_info":{"uid":"u","title":"t"}}`:                                         "severity_id is written in another case",
		`{"class_uid":2004,"\u017feverity_id":1,"finding_info":{"uid":"u","title":"t"}}`:                                    "severity_id is written in another case",
		`{"class_uid":2004,"finding_info":{"uid":"u","title":"t","uid":"v"}}`:                                               "finding_info.uid is given twice",
		`{"class_uid":2004,"finding_info":{"uid":"u"},"finding_info":{"uid":"v"}}`:                                          "finding_info is given twice",
		`{"class_uid":2004,"finding_info":{"uid":"u"},"evidences":[{},{"src_endpoint":{"ip":"192.0.2.1","IP":"x"}}]}`:       "evidences.1.src_endpoint.ip is written in another case",
		`{"class_uid":2004,"finding_info":{"uid":"u"},"unmapped":{"Time":"a","time":"b","time":"c"},"Other":1}`:             "",
		`{"class_uid":2004,"finding_info":{"uid":"u"},"observables":[{"type_id":1,"value":"a"},{"type_id":1,"value":"b"}]}`: "",
	} {
		a := desk.ReadOCSF([]byte(body))
		if !strings.Contains(a.Problem, problem) || problem == "" && a.Problem != "" {
			t.Errorf("%s: problem %q, want %q", body, a.Problem, problem)
		}
		if problem != "" && !strings.HasPrefix(a.FindingID, "sha256:") {
			t.Errorf("%s: taken as the finding %s", body, a.FindingID)
		}
	}
}

func TestTheTextsOfAFindingAreCleaned(t *testing.T) {
	a := desk.ReadOCSF([]byte(`{"class_uid":2004,"finding_info":{"uid":"u","title":"Invoice\u202efdp.exe\nopened","desc":"one\u0007\ntwo\u2066"},
		"device":{"hostname":"ws\u202e17"},"resources":[{"hostname":"\u200b"}],"observables":[{"type_id":7,"value":"\u202egpj.exe"},{"type_id":7,"value":"\u2800"}]}`))
	want := models.Alert{
		FindingID: "u", Title: "Invoicefdp.exe opened", Detail: "one\ntwo", Severity: models.SeverityLow, Techniques: []string{},
		Indicators: []models.Indicator{{Type: "file_name", Value: "gpj.exe"}}, Hostnames: []string{"ws17"},
	}
	if !reflect.DeepEqual(a, want) {
		t.Errorf("got  %+v\nwant %+v", a, want)
	}
	for _, uid := range []string{`a\u202eb`, `ab\u0000`} {
		if other := desk.ReadOCSF([]byte(`{"class_uid":2004,"finding_info":{"uid":"` + uid + `"}}`)); !strings.HasPrefix(other.FindingID, "sha256:") {
			t.Errorf("%s became the finding %q", uid, other.FindingID)
		}
	}
}

func TestTwoLongFindingIDsStayTwo(t *testing.T) {
	id := func(end string) string {
		return desk.ReadOCSF([]byte(`{"class_uid":2004,"finding_info":{"uid":"` + strings.Repeat("a", 600) + end + `"}}`)).FindingID
	}
	if id("1") == id("2") || len(id("1")) > 500 {
		t.Error("long finding ids collide or stay too long")
	}
}

// The texts of an alert are bounded and valid, whatever event it is read from.
func FuzzReadOCSF(f *testing.F) {
	for _, seed := range []string{"credential-dumping.json", "seconds.json", "not-ocsf.json"} {
		body, err := os.ReadFile(filepath.Join("testdata", "ocsf", seed))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Add([]byte(`{"class_uid":2004,"time":1e999,"finding_info":{"uid":"\u0000\ud800","title":"` + strings.Repeat("ü", 300) + `"}}`))
	f.Add([]byte(`{"class_uid":2004,"finding_info":{"uid":"` + strings.Repeat(" ", 600) + `u","title":"t"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		a := desk.ReadOCSF(body)
		for _, s := range append([]string{a.FindingID, a.Title, a.Detail, a.Problem}, a.Hostnames...) {
			if !utf8.ValidString(s) || strings.ContainsRune(s, 0) || utf8.RuneCountInString(s) > 16<<10 {
				t.Errorf("unfit text %q", s)
			}
		}
		if utf8.RuneCountInString(a.Title) > 200 || len(a.FindingID) > 500 || a.FindingID == "" || a.Title == "" || !a.Severity.IsValid() || len(a.Indicators) > 100 {
			t.Errorf("out of bounds: %+v", a)
		}
		if _, err := json.Marshal(a); err != nil {
			t.Error(err)
		}
	})
}
