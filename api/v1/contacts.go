package v1

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// ListContacts lists a client's contacts.
func (s *server) ListContacts(ctx context.Context, r ListContactsRequestObject) (ListContactsResponseObject, error) {
	ctx, who := called(ctx)
	list, err := s.desk.Contacts(ctx, who.user, r.Number)
	return ok(ContactList{Items: list}), err
}

// CreateContact adds a contact.
func (s *server) CreateContact(ctx context.Context, r CreateContactRequestObject) (CreateContactResponseObject, error) {
	ctx, who := called(ctx)
	c, err := s.desk.CreateContact(ctx, who.user, r.Number, contact(uuid.Nil, *r.Body), r.Params.IdempotencyKey)
	return reply{status: http.StatusCreated, body: c}, err
}

// UpdateContact replaces what a contact is.
func (s *server) UpdateContact(ctx context.Context, r UpdateContactRequestObject) (UpdateContactResponseObject, error) {
	ctx, who := called(ctx)
	c, err := s.desk.UpdateContact(ctx, who.user, r.Number, contact(r.ID, *r.Body))
	return ok(c), err
}

func contact(id uuid.UUID, b NewContact) models.Contact {
	return models.Contact{
		ID: id, Name: b.Name, Role: b.Role, Email: b.Email, Phone: b.Phone, Language: b.Language, Order: b.Order,
		Severities: b.Severities, Channels: b.Channels, Hours: b.Hours, HoursForCritical: b.HoursForCritical,
	}
}

// RemoveContact removes a contact.
func (s *server) RemoveContact(ctx context.Context, r RemoveContactRequestObject) (RemoveContactResponseObject, error) {
	ctx, who := called(ctx)
	return reply{status: http.StatusNoContent}, s.desk.RemoveContact(ctx, who.user, r.Number, r.ID)
}

// VerifyChannel sends a code over a channel.
func (s *server) VerifyChannel(ctx context.Context, r VerifyChannelRequestObject) (VerifyChannelResponseObject, error) {
	ctx, who := called(ctx)
	expires, err := s.desk.VerifyChannel(ctx, who.user, r.Number, r.ID, r.Body.Channel, r.Params.IdempotencyKey)
	return reply{status: http.StatusAccepted, body: ChannelCheck{Channel: r.Body.Channel, ExpiresAt: expires}}, err
}

// TestChannel sends a test message over a channel.
func (s *server) TestChannel(ctx context.Context, r TestChannelRequestObject) (TestChannelResponseObject, error) {
	ctx, who := called(ctx)
	err := s.desk.TestChannel(ctx, who.user, r.Number, r.ID, r.Body.Channel, r.Params.IdempotencyKey)
	return reply{status: http.StatusAccepted, body: ChannelCheck{Channel: r.Body.Channel}}, err
}

// ConfirmChannel takes the code a contact was sent.
func (s *server) ConfirmChannel(ctx context.Context, r ConfirmChannelRequestObject) (ConfirmChannelResponseObject, error) {
	ctx, who := called(ctx)
	c, err := s.desk.ConfirmChannel(ctx, who.user, r.Number, r.ID, r.Body.Channel, r.Body.Code)
	return ok(c), err
}

// ListContactDeliveries lists what was sent to a contact.
func (s *server) ListContactDeliveries(ctx context.Context, r ListContactDeliveriesRequestObject) (ListContactDeliveriesResponseObject, error) {
	ctx, who := called(ctx)
	cursor, err := store.ParseCursor(r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	limit := pageOf(r.Params.Limit)
	list, err := s.desk.ContactDeliveries(ctx, who.user, r.Number, r.ID, cursor, limit+1)
	if err != nil {
		return nil, err
	}
	items, next := deliveryPage(list, limit)
	return ok(ContactDeliveryList{Items: items, Next: next}), nil
}
