package workflows

import "go.temporal.io/sdk/workflow"

// The names of changes to what a workflow does. A run that passed such a place before the change goes on as it was
// begun. A name stays here as long as such a run may live.
const (
	// changeLookAfterRelease: a released device is looked at again for a while, and a device is looked at once more when
	// its incident asks.
	changeLookAfterRelease = "look-after-release"
	// changeLookBeforeClosure: released devices are looked at once before their incident is closed.
	changeLookBeforeClosure = "look-before-closure"
	// changeKeepManaging: devices that are kept isolated at closure stay under their lease, and releasable.
	changeKeepManaging = "keep-managing"
	// changeSettingsRetried: messages that a vendor refused because of our settings are tried again by themselves. Before,
	// each waited for a person to complete its own task.
	changeSettingsRetried = "messages-settings-retried"
	// changeBounded bounds an incident's run. Before, events went to the store in batches of any size, a command was
	// accepted however much the incident held, a repeat of a forgotten command was judged anew, and the run went on in a
	// new one only when every event was in the store. From its version recordedFirst on, no message and no desired state
	// leaves the incident before the store has the event that it follows from. From messagesCounted on, the messages that
	// wait are bounded. While a vendor is down, one of all that wait for it is tried at a time, and one task stands for all.
	changeBounded = "bounded"
	// changeRoundsEndThemselves: a round of calls whose own report ended the matter is not told to stop, because it ends
	// by itself and the signal would fail. Before, it was.
	changeRoundsEndThemselves = "rounds-end-themselves"
	// changeSettlingIsNoProblem: an action that waits until an opposite one is settled, because its answer was lost, waits
	// in silence. Before, it opened a task.
	changeSettlingIsNoProblem = "settling-is-no-problem"
	// changeFailedLookIsShown: a look at a released device that fails is a problem of the incident, which stays at work for
	// it. Before, nobody was told.
	changeFailedLookIsShown = "failed-look-is-shown"
	// changeKeysOfLostRounds: a key that is pressed in a call of a lost run of a round counts. Before, it was dropped.
	changeKeysOfLostRounds = "keys-of-lost-rounds"
	// changeStatementsBacked: whatever is said in the client's name, by a user or by a contact on the phone, needs its row in the
	// database. Before, only commands that close a risk did.
	changeStatementsBacked = "statements-backed"
	// changeActsAcknowledge: whatever a responder or admin sends, and a contact's answer about an approval, acknowledges;
	// what a viewer sends does not. Before, only the command and the keys for it did, whoever sent them.
	changeActsAcknowledge = "acts-acknowledge"
	// changeSendersMayAct: a command of the SOC is rejected when its sender was disabled, or lost the client from their
	// reach, before it is judged. Before, only those of the client's users were looked at again.
	changeSendersMayAct = together
	// changeDeviceFoundForRuling: a device that was released before anything was done to it is found when it is to be
	// isolated again. Before, the response authority waited for it for ever.
	changeDeviceFoundForRuling = "device-found-for-ruling"
	// changeRefusalsSeen: a signal that this provider did not seal, or that cannot be read, becomes an event of the
	// incident. Before, it was dropped.
	changeRefusalsSeen = together
	// changeToldAgain: an incident that goes on from what the store has asks for a look at every device, and a device that
	// nothing is permitted for is then found anew. Before, what was told to the run that was reset was lost: the response
	// authority waited for a device that had been found, for ever.
	changeToldAgain = "told-again"
	// changeApproversConfirmed: only contacts approve on the phone whom an admin of the client let approve, and whom the
	// one who asked did not make. Before, every contact with a verified number did. Whoever hears in such a call which
	// incident it is about acknowledges the incident.
	changeApproversConfirmed = together
	// changeToldStayTold: who was told of an incident stays told, whatever its severity becomes, and at last every contact
	// is. Before, a message went to those whose rule matched the severity of the moment, and to nobody when none did.
	changeToldStayTold = together
	// changeRisksAskedAgain: the client is asked again when the time of a risk that they accepted is over, also after
	// closure, and a closure that they confirm has an accepted risk as its outcome, until a date. Before, nobody asked, and
	// the outcome stayed as it was asked for.
	changeRisksAskedAgain = together
	// changeRefusalsShown: a mailer that refuses our settings while another takes the mails is a task of the incident.
	// Before, nobody was told.
	changeRefusalsShown = together
	// changeWordsAreOfTheirQuestion: a contact's word counts when the store had the question by then, or when it was said
	// in a call or text that put it. Before, every word of theirs counted while the store did not have the question yet,
	// however old, and none from that time once it had.
	changeWordsAreOfTheirQuestion = together
	// changeConfirmationsAnswer: a closure is confirmed over the SOC's last word that the threat is still present, and the
	// last material revision. Before, a confirmation from before those counted.
	changeConfirmationsAnswer = together
	// changePersonsCounted: the calls about an approval go on until as many persons have agreed as must, the SOC is told
	// when nobody is left to call, and an answer that the incident refuses becomes an event. Before, contacts were counted,
	// also two of one person, and nobody was told.
	changePersonsCounted = together
	// changeReceiptsReachNobody: that a viewer has read the report leaves the lead's task open that nobody was reached.
	// Before, it ended the task.
	changeReceiptsReachNobody = together
	// changeInvitedAreOne: a user of the client whom somebody invited who approved before, or the other way round, is no
	// second person. Before, everybody with a mail address of their own was.
	changeInvitedAreOne = together
	// changeRecalledRepeatsChecked: another command under the id of one that the workflow has forgotten is rejected. Before,
	// it got the first one's result.
	changeRecalledRepeatsChecked = together
	// changeToldOfReset: an incident that was reset goes on from what the store has as soon as the reconciler says that this
	// is more. Before, it did so when somebody sent it a command, or it had something to record.
	changeToldOfReset = together
	// changeRequestsSayWhat: a request is for the command that its sealed fingerprint is of, and one that was rejected stays
	// rejected until its sender asks again. Before, it was for whatever Signal or Update it came under, a request without a
	// fingerprint too, and every repeat of a rejected one was judged anew.
	changeRequestsSayWhat = together
	// changeNewsAskAgain: after a material revision the SOC verifies anew, and after that or the word that the threat is
	// still present the client confirms a closure anew. Before, the old words closed an incident that waited for a device.
	changeNewsAskAgain = together
	// changeConsentsVoided: when somebody approves, the earlier consents of those who may not act any more count no longer, and
	// the calls go on. Before, each counted for ever.
	changeConsentsVoided = together
	// changeStoreAsked: a run that goes on from an earlier one asks how far the store has the incident, and that of a device has
	// the incident say what is desired. Before, nobody told one that went on from a run that somebody had begun, or reset,
	// from an old state.
	changeStoreAsked = together
	// changeTakenIDsTriedAgain: a child whose id another workflow has is started again after a moment: one that is none of
	// ours has failed by then. Before, whatever ran under the id passed for the child.
	changeTakenIDsTriedAgain = together
)

// together is the one name of changes that came at the same time and are asked about where a run begins. Each name costs
// a run two events.
const together = "spoken-for"

// Versions of changeBounded.
const (
	recordedFirst   = 2
	messagesCounted = 3
)

// requestsNamed is the version of together from which every request to an activity has a name, which is sealed with the
// answer. Before, an answer to another request of the workflow was believed, and so was one without anything in it.
const requestsNamed = 2

// storeAsked is the version of together that has changeStoreAsked.
const storeAsked = 3

// hasChange reports whether this run is to go the new way of a change.
func hasChange(ctx workflow.Context, change string) bool { return versionOf(ctx, change) >= 1 }

// versionOf returns the version of a change that this run goes by.
func versionOf(ctx workflow.Context, change string) workflow.Version {
	latest := workflow.Version(1)
	if change == together {
		latest = storeAsked
	}
	return workflow.GetVersion(ctx, change, workflow.DefaultVersion, latest)
}

// asksStore reports whether this run goes on from an earlier one that may have gone on from an old state.
func asksStore(ctx workflow.Context) bool {
	return workflow.GetInfo(ctx).ContinuedExecutionRunID != "" && versionOf(ctx, changeStoreAsked) >= storeAsked
}

// NamesRequests reports whether this run names what it asks of activities.
func NamesRequests(ctx workflow.Context) bool { return versionOf(ctx, together) >= requestsNamed }
