// SPDX-License-Identifier: Apache-2.0

package wire

// The field numbers of spanwire.v1, named by message and field. A test compares them with the
// contract.
const (
	FrameRegister      = 1 // AttachRequest
	FrameBatch         = 2 // AttachRequest and AttachResponse
	FrameAck           = 3
	FrameDrain         = 4
	FrameRegistrations = 5 // AttachRequest

	FrameAckAnswered = 1 // FrameAck

	DrainRetire = 1 // Drain

	BatchSequence = 1 // DispatchBatch and ActionBatch
	BatchAnswered = 2
	BatchItems    = 3 // dispatches or actions
	BatchAnswers  = 4 // DispatchBatch
	BatchReleased = 5

	DispatchID           = 1 // Dispatch
	DispatchSocketID     = 2
	DispatchNamespace    = 3
	DispatchEvent        = 4
	DispatchConnect      = 5
	DispatchDisconnected = 6
	DispatchWantsAck     = 7
	DispatchRedeliveries = 8
	DispatchIntroduction = 9
	DispatchRoomEvent    = 10
	DispatchMessage      = 11

	EventName        = 1 // Event
	EventArgs        = 2
	EventAttachments = 3

	ConnectRecovered = 1 // Connect

	RoomEventChange = 1 // RoomEvent
	RoomEventRoom   = 2

	MessageEvent      = 1 // Message
	MessageService    = 2
	MessageInstanceID = 3

	DisconnectedReason = 1 // Disconnected
	DisconnectedRooms  = 2

	ActionResult  = 1 // Action
	ActionCommand = 2

	ResultDispatchID = 1 // Result
	ResultAck        = 2
	ResultRefusal    = 3
	ResultFailure    = 4

	AckArgs        = 1 // Ack
	AckAttachments = 2

	RefusalMessage = 1 // Refusal
	RefusalData    = 2

	FailureMessage = 1 // Failure

	CommandID         = 1 // Command
	CommandEmit       = 2
	CommandJoin       = 3
	CommandLeave      = 4
	CommandDisconnect = 5

	CommandTarget = 1 // Emit, Join, Leave and Disconnect

	EmitEvent      = 2 // Emit
	EmitVolatile   = 3
	EmitNoCompress = 4
	EmitWantAcks   = 5
	EmitAckTimeout = 6
	EmitWantCount  = 7

	JoinRooms     = 2 // Join and Leave
	JoinWantCount = 3

	DisconnectCloseSession = 2 // Disconnect
	DisconnectWantCount    = 3

	TargetNamespace = 1 // Target
	TargetRooms     = 2
	TargetExcept    = 3
	TargetLocal     = 4
	TargetPattern   = 5
)
