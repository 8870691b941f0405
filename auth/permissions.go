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
	// mayPauseIsolation leaves analysts out, because they are the ones who isolate.
	mayPauseIsolation = []models.Role{models.RoleLead, models.RoleOperator, models.RoleAdmin}
	// contactManagers change the contacts of a client; an admin those of their own.
	contactManagers = []models.Role{models.RoleAnalyst, models.RoleLead, models.RoleOperator, models.RoleAdmin}
	// auditReaders read the audit log of a client.
	auditReaders = []models.Role{models.RoleAnalyst, models.RoleLead, models.RoleOperator, models.RoleAdmin}
	// clientsOwn are the roles of a client that act for it.
	clientsOwn = []models.Role{models.RoleResponder, models.RoleAdmin}
	// receivers hand alerts in: the SOC's people, and machines.
	receivers = append([]models.Role{models.RoleService}, staff...)
	// tokenManagers manage the tokens of a client's machines.
	tokenManagers = []models.Role{models.RoleLead, models.RoleOperator, models.RoleAdmin}
)

// permissions lists the roles that may use each operation of api/openapi.yaml. Nobody may use an operation that is not
// here. The database decides which clients' rows a role may use the operation on. The table is never changed.
var permissions = addCommands(map[string][]models.Role{
	"list-clients":            staff,
	"create-client":           clientManagers,
	"get-client":              everyone,
	"update-client":           clientManagers,
	"list-contacts":           everyone,
	"create-contact":          contactManagers,
	"update-contact":          contactManagers,
	"remove-contact":          contactManagers,
	"verify-channel":          contactManagers,
	"test-channel":            contactManagers,
	"confirm-channel":         contactManagers,
	"confirm-approver":        {models.RoleAdmin},
	"revoke-approver":         {models.RoleAdmin},
	"list-contact-deliveries": staff,
	"get-plan":                everyone,
	"check-go-live":           everyone,
	"go-live":                 clientManagers,
	"get-caller-code":         everyone,
	"start-fire-drill":        handlers,

	"get-response-authority":     everyone,
	"draft-response-authority":   clientManagers,
	"sign-response-authority":    {models.RoleAdmin},
	"dry-run-response-authority": everyone,
	"list-edr-products":          staff,
	"get-edr":                    staff,
	"list-isolations":            everyone,
	"set-edr-credentials":        clientManagers,
	"remove-edr-credentials":     clientManagers,
	"check-edr-connection":       staff,
	"pause-isolation":            mayPauseIsolation,
	"resume-isolation":           mayPauseIsolation,
	"list-audit-log":             auditReaders,

	"list-alarms":     {models.RoleOperator},
	"decode-payloads": {models.RoleOperator},

	"list-soc-users":              clientManagers,
	"invite-soc-user":             {models.RoleOperator},
	"update-soc-user":             {models.RoleOperator},
	"list-client-users":           {models.RoleLead, models.RoleOperator, models.RoleAdmin},
	"invite-client-user":          {models.RoleOperator, models.RoleAdmin},
	"update-client-user":          {models.RoleOperator, models.RoleAdmin},
	"list-tokens":                 everyone,
	"create-token":                everyone,
	"revoke-token":                everyone,
	"list-soc-service-tokens":     clientManagers,
	"create-soc-service-token":    clientManagers,
	"revoke-soc-service-token":    clientManagers,
	"list-client-service-tokens":  tokenManagers,
	"create-client-service-token": tokenManagers,
	"revoke-client-service-token": tokenManagers,
	"list-soc-audit-log":          clientManagers,
	"list-refusals":               clientManagers,

	"report-suspicion": clientsOwn,
	"list-suspicions":  everyone,

	"list-alerts":   staff,
	"receive-alert": receivers,
	"receive-ocsf":  receivers,
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

// addCommands adds the commands of an incident. Each command names its roles itself.
func addCommands(table map[string][]models.Role) map[string][]models.Role {
	for _, c := range incident.Commands() {
		table[c.Name()] = incident.RolesOf(c)
	}
	return table
}

// Allow returns nil when a role may use an operation. Forbidden: the role may not, or the table does not know the
// operation. Conflict: the role is of the SOC and only the client may use the operation; then the process forbids it,
// not the role.
func Allow(operation string, role models.Role) error {
	allowed := permissions[operation]
	if slices.Contains(allowed, role) {
		return nil
	}
	words := strings.ReplaceAll(operation, "-", " ")
	if len(allowed) > 0 && role.Side() == models.SideSOC && !slices.ContainsFunc(allowed, isOfSOC) {
		return models.Errorf(models.Conflict, "only the client may %s", words)
	}
	return models.Errorf(models.Forbidden, "the role %s may not %s", role, words)
}

// AllowPrincipal is Allow for the sender of a request, whose token may be good for less than their role. An invitation buys
// a token and nothing else; a service token is good for the operations that it names.
func AllowPrincipal(operation string, p models.Principal) error {
	if p.Invitation && operation != createToken || p.Role == models.RoleService && !slices.Contains(p.Operations, operation) {
		return models.Errorf(models.Forbidden, "this token may not %s", strings.ReplaceAll(operation, "-", " "))
	}
	return Allow(operation, p.Role)
}

// createToken is the one operation that an invitation is good for.
const createToken = "create-token"

// ServiceOperations lists the operations that a service token may name, sorted.
func ServiceOperations() []string {
	return slices.DeleteFunc(Operations(), func(name string) bool { return !slices.Contains(permissions[name], models.RoleService) })
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

func isOfSOC(r models.Role) bool { return r.Side() == models.SideSOC }
