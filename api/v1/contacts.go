package v1

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
)

func (s *server) ListContacts(c *gin.Context, number ClientNumber) {
	ctx, who := callerOf(c)
	list, err := s.desk.Contacts(ctx, who.user, number)
	s.answer(c, ok(ContactList{Items: list}), err)
}

func (s *server) CreateContact(c *gin.Context, number ClientNumber, params CreateContactParams) {
	var body NewContact
	if !s.decode(c, &body) {
		return
	}
	ctx, who := callerOf(c)
	contact, err := s.desk.CreateContact(ctx, who.user, number, contactFrom(uuid.Nil, body), params.IdempotencyKey)
	s.answer(c, reply{status: http.StatusCreated, body: contact}, err)
}

func (s *server) UpdateContact(c *gin.Context, number ClientNumber, id ContactID) {
	var body NewContact
	if !s.decode(c, &body) {
		return
	}
	ctx, who := callerOf(c)
	contact, err := s.desk.UpdateContact(ctx, who.user, number, contactFrom(id, body))
	s.answer(c, ok(contact), err)
}

func contactFrom(id uuid.UUID, b NewContact) models.Contact {
	return models.Contact{
		ID: id, Name: b.Name, Role: b.Role, Email: b.Email, Phone: b.Phone, Language: b.Language, Order: b.Order,
		Severities: b.Severities, Channels: b.Channels, Hours: b.Hours, HoursForCritical: b.HoursForCritical,
	}
}

func (s *server) RemoveContact(c *gin.Context, number ClientNumber, id ContactID) {
	ctx, who := callerOf(c)
	err := s.desk.RemoveContact(ctx, who.user, number, id)
	s.answer(c, reply{status: http.StatusNoContent}, err)
}

func (s *server) VerifyChannel(c *gin.Context, number ClientNumber, id ContactID, params VerifyChannelParams) {
	var body VerifyChannel
	if !s.decode(c, &body) {
		return
	}
	ctx, who := callerOf(c)
	expires, err := s.desk.VerifyChannel(ctx, who.user, number, id, body.Channel, params.IdempotencyKey)
	s.answer(c, reply{status: http.StatusAccepted, body: ChannelCheck{Channel: body.Channel, ExpiresAt: expires}}, err)
}

func (s *server) TestChannel(c *gin.Context, number ClientNumber, id ContactID, params TestChannelParams) {
	var body TestChannel
	if !s.decode(c, &body) {
		return
	}
	ctx, who := callerOf(c)
	err := s.desk.TestChannel(ctx, who.user, number, id, body.Channel, params.IdempotencyKey)
	s.answer(c, reply{status: http.StatusAccepted, body: ChannelCheck{Channel: body.Channel}}, err)
}

func (s *server) ConfirmChannel(c *gin.Context, number ClientNumber, id ContactID) {
	var body ConfirmChannel
	if !s.decode(c, &body) {
		return
	}
	ctx, who := callerOf(c)
	contact, err := s.desk.ConfirmChannel(ctx, who.user, number, id, body.Channel, body.Code)
	s.answer(c, ok(contact), err)
}

func (s *server) ConfirmApprover(c *gin.Context, number ClientNumber, id ContactID) {
	var body ConfirmApprover
	if !s.decode(c, &body) {
		return
	}
	ctx, who := callerOf(c)
	contact, err := s.desk.ConfirmApprover(ctx, who.user, number, models.Contact{ID: id, Phone: body.Phone, Email: body.Email}, body.Pin)
	s.answer(c, ok(contact), err)
}

func (s *server) RevokeApprover(c *gin.Context, number ClientNumber, id ContactID) {
	ctx, who := callerOf(c)
	contact, err := s.desk.RevokeApprover(ctx, who.user, number, id)
	s.answer(c, ok(contact), err)
}

func (s *server) ListContactDeliveries(c *gin.Context, number ClientNumber, id ContactID, params ListContactDeliveriesParams) {
	ctx, who := callerOf(c)
	page, err := s.desk.ContactDeliveries(ctx, who.user, number, id, pageRequest(params.Cursor, params.Limit))
	s.answer(c, ok(ContactDeliveryList(page)), err)
}
