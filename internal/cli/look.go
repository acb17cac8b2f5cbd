// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/apijson"
)

const socketsUsage = `broker sockets [flags] lists the sockets of a cluster, through a running broker.

Each socket is a line: its id, the replica, the transport that it began with, the browser's address, the events of it that wait by service
("unread" says that the broker does not read from it meanwhile), its rooms, and the data that handlers keep
with it. With --json each is a JSON object on a line of its own. The exit code is 1 when a replica did not tell what it knows.

Flags:
`

const roomsUsage = `broker rooms [flags] lists the rooms of a namespace, through a running broker.

Each room is a line: its name, and how many sockets are in it; the fullest come first. With --json each is a JSON object on a line of its own.
The exit code is 1 when a replica did not tell what it knows.

Flags:
`

const servicesUsage = `broker services [flags] lists the services of a cluster and their instances, through a running broker.

Each instance is a line: the replicas that it is attached to; and, as the replica that answers counts them, its window, the dispatches that are
open on it, the sockets that are assigned to it, those whose events wait for it (WAITING), these events (QUEUED), and the sockets that the broker does
not read because too many of their events wait (UNREAD). An absent service has a line without an
instance, with the number of connects that it holds in the whole cluster. The replicas follow. With --json each service, with what it handles,
is a JSON object on a line of its own.

"broker services retire NAME" forgets an absent service; "broker services retire -h" tells more.

Flags:
`

const retireUsage = `broker services retire [flags] NAME forgets an absent service in a whole cluster, through a running broker.

Connects that wait for the service go on without it, and events that wait for it are dropped. A service that has instances is not retired: stop
them first. When an instance attaches later, the service is known again. The exit code is 1 when a replica did not answer: it may still know the
service.

Flags:
`

// sockets lists sockets.
func (t *terminal) sockets(args []string) int {
	var c caller
	q := &spanwirev1.FetchSockets{Target: &spanwirev1.Target{}}
	flags := t.callerFlags("sockets", &c)
	flags.StringVar(&q.Target.Namespace, "namespace", "/", "namespace of the sockets")
	flags.Var((*names)(&q.Target.Rooms), "room", "room or socket id; may be given several times (default: all sockets)")
	flags.Var((*names)(&q.Target.Except), "except", "room or socket id that is left out; may be given several times")
	flags.BoolVar(&q.Target.Local, "local", false, "only sockets of the replica that takes the call")
	limit := flags.Uint("limit", 0, "most sockets to list (default: the broker's setting max-query-results)")
	asJSON := flags.Bool("json", false, "print a JSON object for each socket, on a line of its own")
	if code, ok := t.parseAlone(flags, socketsUsage, args); !ok {
		return code
	}
	q.Limit = uint32(*limit)
	a, err := c.ask(&spanwirev1.Command{Command: &spanwirev1.Command_FetchSockets{FetchSockets: q}})
	if err != nil {
		return t.failed(err)
	}
	found := a.GetFound()
	slices.SortFunc(found, func(a, b *spanwirev1.SocketInfo) int { return strings.Compare(a.GetSocketId(), b.GetSocketId()) })
	if *asJSON {
		return t.reported(a, printLines(t, apijson.Sockets(found)))
	}
	rows := [][]string{{"SOCKET", "REPLICA", "TRANSPORT", "ADDRESS", "WAITING", "ROOMS", "DATA"}}
	for _, s := range found {
		h := s.GetHandshake()
		own := func(room string) bool { return room == s.GetSocketId() }
		rows = append(rows, []string{
			s.GetSocketId(), s.GetReplica(), cmp.Or(s.GetTransport(), h.GetTransport()), h.GetAddress(), waiting(s.GetWaiting()), strings.Join(slices.DeleteFunc(s.GetRooms(), own), ","), string(s.GetData()),
		})
	}
	return t.reported(a, t.table(rows))
}

// waiting tells what waits of a socket, by service.
func waiting(list []*spanwirev1.SocketWait) string {
	all := make([]string, len(list))
	for i, w := range list {
		all[i] = fmt.Sprintf("%s:%d", w.GetService(), w.GetEvents())
		if w.GetUnread() {
			all[i] += " (unread)"
		}
	}
	return strings.Join(all, ",")
}

// rooms lists rooms.
func (t *terminal) rooms(args []string) int {
	var c caller
	q := new(spanwirev1.ListRooms)
	flags := t.callerFlags("rooms", &c)
	flags.StringVar(&q.Namespace, "namespace", "/", "namespace of the rooms")
	flags.BoolVar(&q.IncludeOwn, "own", false, "each socket's own room too, which is named by its id")
	flags.BoolVar(&q.Local, "local", false, "only rooms of the replica that takes the call")
	asJSON := flags.Bool("json", false, "print a JSON object for each room, on a line of its own")
	if code, ok := t.parseAlone(flags, roomsUsage, args); !ok {
		return code
	}
	a, err := c.ask(&spanwirev1.Command{Command: &spanwirev1.Command_ListRooms{ListRooms: q}})
	if err != nil {
		return t.failed(err)
	}
	found := a.GetRooms()
	slices.SortFunc(found, func(a, b *spanwirev1.RoomInfo) int {
		if a.GetSockets() != b.GetSockets() {
			return int(b.GetSockets()) - int(a.GetSockets())
		}
		return strings.Compare(a.GetName(), b.GetName())
	})
	if *asJSON {
		return t.reported(a, printLines(t, apijson.Rooms(found)))
	}
	rows := [][]string{{"ROOM", "SOCKETS"}}
	for _, r := range found {
		rows = append(rows, []string{r.GetName(), number(r.GetSockets())})
	}
	return t.reported(a, t.table(rows))
}

// services lists services.
func (t *terminal) services(args []string) int {
	if len(args) > 0 && args[0] == "retire" {
		return t.retire(args[1:])
	}
	var c caller
	flags := t.callerFlags("services", &c)
	asJSON := flags.Bool("json", false, "print a JSON object for each service, on a line of its own")
	if code, ok := t.parseAlone(flags, servicesUsage, args); !ok {
		return code
	}
	r, err := call(context.Background(), &c, 0, func(ctx context.Context, client spanwirev1.EmitterServiceClient) (*spanwirev1.ListServicesResponse, error) {
		return client.ListServices(ctx, &spanwirev1.ListServicesRequest{})
	})
	if err != nil {
		return t.failed(err)
	}
	if *asJSON {
		var lines []json.RawMessage
		for _, s := range r.GetServices() {
			lines = append(lines, apijson.Message(s))
		}
		return printLines(t, lines)
	}
	if code := t.table(serviceRows(r.GetServices())); code != exitOK {
		return code
	}
	rows := [][]string{{"REPLICA", "ADDRESS"}}
	for _, x := range r.GetTopology().GetReplicas() {
		rows = append(rows, []string{x.GetId(), x.GetAddress()})
	}
	t.print("\n")
	return t.lacking(r.GetSilentReplicas(), "the connects that they hold are not counted", t.table(rows))
}

// retire forgets an absent service.
func (t *terminal) retire(args []string) int {
	var c caller
	flags := t.callerFlags("services retire", &c)
	if code, ok := t.parse(flags, retireUsage, args); !ok {
		return code
	}
	name := flags.Arg(0)
	if rest := flags.Args(); len(rest) > 1 { // flags may follow the name
		if code, ok := t.parse(flags, retireUsage, rest[1:]); !ok {
			return code
		}
	}
	if name == "" || flags.NArg() > 1 || flags.NArg() == 1 && flags.Arg(0) != name {
		return t.misused(errors.New("services retire takes the name of one service"))
	}
	r, err := call(context.Background(), &c, 0, func(ctx context.Context, client spanwirev1.EmitterServiceClient) (*spanwirev1.RetireServiceResponse, error) {
		return client.RetireService(ctx, &spanwirev1.RetireServiceRequest{Service: name})
	})
	if err != nil {
		return t.failed(err)
	}
	code := t.print(fmt.Sprintf("The service %s is retired: %d connects go on without it, %d queued dispatches were dropped.\n",
		harmless(name), r.GetConnects(), r.GetDropped()))
	return t.lacking(r.GetSilentReplicas(), "they may still wait for the service; repeat the command when they are back", code)
}

// lacking says which replicas did not answer, and what that means.
func (t *terminal) lacking(silent []string, meaning string, code int) int {
	if len(silent) == 0 {
		return code
	}
	t.say("replicas that did not answer in time: %s; %s", strings.Join(silent, ", "), meaning)
	return exitFailed
}

func serviceRows(services []*spanwirev1.ServiceInfo) [][]string {
	rows := [][]string{{"SERVICE", "INSTANCE", "REPLICAS", "WINDOW", "OPEN", "SOCKETS", "WAITING", "QUEUED", "UNREAD", "STATE", "SDK"}}
	for _, s := range services {
		if len(s.GetInstances()) == 0 {
			state := fmt.Sprintf("absent, holds %d connects", s.GetHeldConnects())
			rows = append(rows, []string{
				s.GetService(), "", "", "", "", "", number(s.GetWaitingSockets()), number(s.GetWaitingEvents()), number(s.GetUnreadSockets()), state, "",
			})
		}
		for _, x := range s.GetInstances() {
			state := "serves"
			if x.GetDraining() {
				state = "drains"
			}
			rows = append(rows, []string{
				s.GetService(), x.GetInstanceId(), strings.Join(x.GetReplicas(), ","), number(x.GetWindow()), number(x.GetOpen()),
				number(x.GetSockets()), number(x.GetWaitingSockets()), number(x.GetWaitingEvents()), number(x.GetUnreadSockets()), state, x.GetSdk(),
			})
		}
	}
	return rows
}

// ask executes a query.
func (c *caller) ask(command *spanwirev1.Command) (*spanwirev1.Answer, error) {
	r, err := call(context.Background(), c, 0, func(ctx context.Context, client spanwirev1.EmitterServiceClient) (*spanwirev1.ExecuteResponse, error) {
		return client.Execute(ctx, &spanwirev1.ExecuteRequest{Command: command})
	})
	if err == nil && r.GetAnswer().GetFault() != nil {
		err = errors.New(r.GetAnswer().GetFault().GetMessage())
	}
	return r.GetAnswer(), err
}

// reported says what an answer lacks.
func (t *terminal) reported(a *spanwirev1.Answer, code int) int {
	if a.GetTruncated() {
		t.say("there is more than is listed (flag --limit, the broker's setting max-query-results)")
	}
	if silent := a.GetSilentReplicas(); len(silent) > 0 {
		t.say("replicas that did not answer in time; what they know is missing: %s", strings.Join(silent, ", "))
		return exitFailed
	}
	return code
}

// table prints rows under a head. Browsers choose some of the names, so that none reaches the
// terminal as it is.
func (t *terminal) table(rows [][]string) int {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			if cells[i] = harmless(cell); cell == "" {
				cells[i] = "-"
			}
		}
		_, _ = fmt.Fprintln(w, strings.Join(cells, "\t")) // a Builder never fails
	}
	_ = w.Flush()
	var clean strings.Builder
	for line := range strings.Lines(text.String()) {
		clean.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return t.print(clean.String())
}

// harmless is text that a terminal shows and does not obey.
func harmless(s string) string {
	const most = 200 // characters
	if r := []rune(s); len(r) > most {
		s = string(r[:most-1]) + "…"
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// printLines prints a line of JSON for each item.
func printLines[T any](t *terminal, items []T) int {
	w := json.NewEncoder(t.out)
	for _, x := range items {
		if err := w.Encode(x); err != nil {
			return t.failed(err)
		}
	}
	return exitOK
}
