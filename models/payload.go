package models

// Payload is a value as the workflow engine keeps it, sealed or not.
type Payload struct {
	Metadata map[string][]byte `json:"metadata,omitempty"`
	Data     []byte            `json:"data,omitempty"`
}

// How the workers hand payloads that were not sealed by this provider to a workflow.
const (
	PayloadRefused = "watchfire/refused" // the encoding of a payload that is not to be believed
	PayloadPlain   = "watchfire-plain"   // in the metadata of a payload that came unsealed: the encoding it had
)
