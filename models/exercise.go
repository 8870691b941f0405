package models

// Exercise says whether an incident is real and, if not, what is tried with it. Everything but ExerciseNone is a drill:
// it is marked, counted in no metric, and never reaches a real EDR.
type Exercise string

// The kinds of exercises.
const (
	ExerciseNone               Exercise = "none"                 // a real incident
	ExerciseOrdinary           Exercise = "exercise"             // the whole incident is played through
	ExerciseFireDrill          Exercise = "fire_drill"           // only tries how the client is reached: every contact, once
	ExerciseSimulatedFireDrill Exercise = "simulated_fire_drill" // the same, but nothing leaves the house: every call rings out, every message is taken
)

// IsDrill reports whether the incident is not real.
func (x Exercise) IsDrill() bool { return x != "" && x != ExerciseNone }

// IsFireDrill reports whether the incident only tries how the client is reached.
func (x Exercise) IsFireDrill() bool {
	return x == ExerciseFireDrill || x == ExerciseSimulatedFireDrill
}

// IsSimulated reports whether nothing may leave the house.
func (x Exercise) IsSimulated() bool { return x == ExerciseSimulatedFireDrill }
