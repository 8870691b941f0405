package auth

import (
	"slices"
	"strings"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// Groups of roles, as the table below uses them.
var (
	everyone       = []models.Role{models.RoleAnalyst, models.RoleLead, models.RoleOperator, models.RoleViewer, models.RoleResponder, models.RoleAdmin}
	staff          = []models.Role{models.RoleAnalyst, models.RoleLead, models.RoleOperator}
	clientManagers = []models.Role{models.RoleLead, models.RoleOperator}
	handlers       = []models.Role{models.RoleAnalyst, models.RoleLead}
	// mayPauseIsolation stop all isolations of a client. Analysts do not: they are the ones who isolate.
	mayPauseIsolation = []models.Role{models.RoleLead, models.RoleOperator, models.RoleAdmin}
	// auditReaders are told who changed what a client is set up with.
	auditReaders = []models.Role{models.RoleAnalyst, models.RoleLead, models.RoleOperator, models.RoleAdmin}
)

// permissions says which roles may use which operation of api/openapi.yaml. Nobody may use an operation that is not here.
// The database decides whose things a role may use it on. The table is never changed.
var permissions = withCommands(map[string][]models.Role{
	"list-clients":            staff,
	"create-client":           clientManagers,
	"get-client":              everyone,
	"update-client":           clientManagers,
	"list-contacts":           everyone,
	"create-contact":          staff,
	"update-contact":          staff,
	"remove-contact":          staff,
	"verify-channel":          staff,
	"test-channel":            staff,
	"confirm-channel":         staff,
	"list-contact-deliveries": staff,
	"get-plan":                everyone,
	"check-go-live":           everyone,
	"get-caller-code":         everyone,
	"start-fire-drill":        handlers,

	"get-response-authority":     everyone,
	"draft-response-authority":   clientManagers,
	"sign-response-authority":    {models.RoleAdmin},
	"dry-run-response-authority": everyone,
	"list-edr-products":          staff,
	"get-edr":                    staff,
	"set-edr-credentials":        clientManagers,
	"remove-edr-credentials":     clientManagers,
	"check-edr-connection":       staff,
	"pause-isolation":            mayPauseIsolation,
	"resume-isolation":           mayPauseIsolation,
	"list-audit-log":             auditReaders,

	"list-alerts":   staff,
	"receive-alert": staff,
	"receive-ocsf":  staff,
	"get-alert":     staff,
	"get-alert-raw": staff,

	"list-incidents":   everyone,
	"open-incident":    handlers,
	"get-incident":     everyone,
	"list-events":      everyone,
	"list-deliveries":  everyone,
	"get-drill-report": everyone,
	"list-revisions":   everyone,
	"get-revision":     everyone,
})

// withCommands adds the commands of an incident, which say themselves who may send them.
func withCommands(table map[string][]models.Role) map[string][]models.Role {
	for _, c := range incident.Commands() {
		table[c.Name()] = incident.RolesOf(c)
	}
	return table
}

// Allow returns nil when a role may use an operation. Otherwise it returns Forbidden, or Conflict when someone of
// the SOC asks for what is the client's alone: then it is not their role but the process that forbids it.
// An operation that the table does not know is Forbidden to everyone.
func Allow(operation string, role models.Role) error {
	allowed := permissions[operation]
	if slices.Contains(allowed, role) {
		return nil
	}
	words := strings.ReplaceAll(operation, "-", " ")
	if len(allowed) > 0 && role.Side() == models.SideSOC && !slices.ContainsFunc(allowed, ofSOC) {
		return models.Errorf(models.Conflict, "only the client may %s", words)
	}
	return models.Errorf(models.Forbidden, "the role %s may not %s", role, words)
}

// Operations lists the operations that the table knows, sorted.
func Operations() []string {
	var names []string
	for name := range permissions {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func ofSOC(r models.Role) bool { return r.Side() == models.SideSOC }
