package workflows

// Changes of what workflows do, by which a run that began before goes on as it began (workflow.GetVersion). A change
// stays here as long as such a run may live.
const (
	// changeSettingsRetried: messages that a vendor refused because of our settings are tried again by themselves. Before,
	// each waited for a person to complete its own task.
	changeSettingsRetried = "messages-settings-retried"
)
