// SPDX-License-Identifier: Apache-2.0

// Command go is the service behind the broker in the interoperability suite, in Go. handler.py
// beside it is the same in Python, event for event; the suite runs against each.
//
// Its environment: SERVICE is the service's name ("interop" when empty). ONLY names a namespace, of
// which it handles connects, disconnects and the event "small", and nothing else; ADVISORY=1 has it
// only notified of connects, and REFUSE=1 refuse them. HOLD=1 makes the event "work" hang, so that
// a kill finds it open. ONE_REPLICA=1 attaches to one replica only. APART=NAME makes it another
// service, named so, which handles no connects: the event NAME answers its arguments, "NAME slow"
// does so after as many milliseconds as its first argument says, and so does "NAME beside", beside
// other events of its socket. With arguments it is no service, but emits once, emit ROOM EVENT
// JSON..., or retires one: retire SERVICE.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	spanwire "github.com/spanwire/spanwire/sdk/go"
)

// answerTime bounds how long clients may take to answer the server. It is generous, since machines
// that run suites are busy.
const answerTime = 10 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 3 && os.Args[1] == "emit" {
		if err := emit(os.Args[2], os.Args[3], os.Args[4:]); err != nil {
			log.Fatal(err)
		}
		return
	}
	if len(os.Args) == 3 && os.Args[1] == "retire" {
		if err := retire(ctx, os.Args[2]); err != nil {
			log.Fatal(err)
		}
		return
	}
	if name := os.Getenv("APART"); name != "" {
		serve(ctx, apart(name))
		return
	}
	svc := spanwire.NewService(cmp.Or(os.Getenv("SERVICE"), "interop"), spanwire.Options{OneReplica: os.Getenv("ONE_REPLICA") != ""})
	if name := os.Getenv("ONLY"); name != "" {
		only(svc.Namespace(name))
	} else {
		everything(svc)
	}
	serve(ctx, svc)
}

func serve(ctx context.Context, svc *spanwire.Service) {
	go func() { // ends with ctx
		if svc.Attached(ctx) == nil {
			fmt.Println("attached")
		}
	}()
	if err := svc.Run(ctx); err != nil {
		log.Print(err)
	}
}

// apart is a service that comes and goes beside the other.
func apart(name string) *spanwire.Service {
	svc := spanwire.NewService(name, spanwire.Options{})
	n := svc.Namespace("/")
	handle(n, name, func(_ context.Context, e *spanwire.Event, args []any) error { return e.Ack(args...) })
	slow := func(_ context.Context, e *spanwire.Event) error {
		args, err := values(e)
		if err != nil {
			return err
		}
		milliseconds, _ := args[0].(float64)
		time.Sleep(time.Duration(milliseconds) * time.Millisecond)
		return e.Ack(args...)
	}
	n.On(name+" slow", slow)
	n.On(name+" beside", slow, spanwire.Concurrent())
	return svc
}

func everything(svc *spanwire.Service) {
	main := svc.Namespace("/")
	lifecycle(main)
	echoes(main)
	rooms(main)
	work(svc)
	surface(main)
	unsendable(main)
	admin(svc.Namespace("/admin"))
	dynamic(svc.NamespacePattern(`/room-\d+`))
	roomEvents(svc.Namespace("/rooms"))
	custom(svc.Namespace("/custom"))
}

// emit is what a script does.
func emit(room, event string, texts []string) error {
	emitter, err := spanwire.NewEmitter(spanwire.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = emitter.Close() }()
	args := make([]any, len(texts))
	for i, text := range texts {
		if err := json.Unmarshal([]byte(text), &args[i]); err != nil {
			return err
		}
	}
	target := emitter.Namespace("/")
	if room != "" {
		target = target.To(room)
	}
	return target.Emit(event, args...)
}

func retire(ctx context.Context, service string) error {
	emitter, err := spanwire.NewEmitter(spanwire.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = emitter.Close() }()
	silent, err := emitter.RetireService(ctx, service)
	fmt.Println("silent", silent)
	return err
}

// auth is what the suite's clients send.
type auth struct {
	Refuse string   `json:"refuse"`
	Data   any      `json:"data"`
	Hello  []any    `json:"hello"`
	Large  []int    `json:"large"` // sizes of texts to be greeted with
	Rooms  []string `json:"rooms"`
	Admin  bool     `json:"admin"`
}

// lifecycle: connects are accepted or refused as the client asks for; disconnects are reported to
// the room "watchers".
func lifecycle(n *spanwire.Namespace) {
	n.OnConnect(func(_ context.Context, s *spanwire.Socket) error {
		var a auth
		if err := s.Handshake().BindAuth(&a); err != nil {
			return err
		}
		if a.Refuse != "" {
			if a.Data == nil {
				return spanwire.Refuse(a.Refuse)
			}
			return spanwire.Refuse(a.Refuse, a.Data)
		}
		if len(a.Rooms) > 0 {
			if err := s.Join(a.Rooms...); err != nil {
				return err
			}
		}
		for _, size := range a.Large {
			if err := s.Emit("hello", strings.Repeat("x", size)); err != nil {
				return err
			}
		}
		for _, h := range a.Hello {
			if err := s.Emit("hello", h); err != nil {
				return err
			}
		}
		return nil
	})
	n.OnDisconnect(func(_ context.Context, s *spanwire.Socket, reason string) {
		if err := n.To("watchers").Emit("left", s.ID(), reason); err != nil {
			log.Print(err)
		}
	})
}

// values decodes all arguments, binary ones into []byte.
func values(e *spanwire.Event) ([]any, error) {
	args := make([]any, len(e.Args()))
	targets := make([]any, len(args))
	for i := range args {
		targets[i] = &args[i]
	}
	return args, e.Bind(targets...)
}

func handle(n *spanwire.Namespace, event string, h func(ctx context.Context, e *spanwire.Event, args []any) error) {
	n.On(event, func(ctx context.Context, e *spanwire.Event) error {
		args, err := values(e)
		if err != nil {
			return err
		}
		return h(ctx, e, args)
	})
}

// echoes: what goes around comes around, as ack, as event, and as the client's own ack.
func echoes(n *spanwire.Namespace) {
	handle(n, "echo", func(_ context.Context, e *spanwire.Event, args []any) error { return e.Ack(args...) })
	handle(n, "reflect", func(_ context.Context, e *spanwire.Event, args []any) error {
		return e.Socket.Emit("reflected", args...)
	})
	handle(n, "ask", func(ctx context.Context, e *spanwire.Event, args []any) error {
		ctx, cancel := context.WithTimeout(ctx, answerTime)
		defer cancel()
		ack, err := e.Socket.EmitWithAck(ctx, "question", args...)
		if err != nil {
			return err
		}
		answer := make([]any, len(ack.Args()))
		targets := make([]any, len(answer))
		for i := range answer {
			targets[i] = &answer[i]
		}
		if err := ack.Bind(targets...); err != nil {
			return err
		}
		return e.Ack(answer...)
	})
	handle(n, "message", func(_ context.Context, e *spanwire.Event, args []any) error { return e.Socket.Send(args...) })
	handle(n, "fail", func(context.Context, *spanwire.Event, []any) error { return fmt.Errorf("as asked for") })
	handle(n, "burst", func(_ context.Context, e *spanwire.Event, args []any) error {
		for i := range int(args[0].(float64)) {
			if err := e.Socket.Emit("burst", append([]any{i}, args[1:]...)...); err != nil {
				return err
			}
		}
		return nil
	})
	// An empty name is a name like any other.
	handle(n, "", func(_ context.Context, e *spanwire.Event, args []any) error {
		if err := e.Socket.Emit("", args...); err != nil {
			return err
		}
		return e.Ack(args...)
	})
	handle(n, "try join", func(_ context.Context, e *spanwire.Event, args []any) error {
		if err := e.Socket.Join(args[0].(string)); err != nil {
			return e.Ack(err.Error())
		}
		return e.Ack("joined")
	})
	handle(n, "burst to", func(_ context.Context, _ *spanwire.Event, args []any) error {
		room, count := n.To(args[0].(string)), int(args[1].(float64))
		for i := range count {
			if err := room.Emit("burst", append([]any{i}, args[2:]...)...); err != nil {
				return err
			}
		}
		return nil
	})
	n.On("handshake", handshake)
}

func handshake(_ context.Context, e *spanwire.Event) error {
	h := e.Socket.Handshake()
	return e.Ack(map[string]any{"id": e.Socket.ID(), "url": h.URL, "transport": h.Transport, "address": h.Address, "auth": h.Auth,
		"host": h.Host, "secure": h.Secure, "cross_domain": h.CrossDomain, "query": h.Query, "headers": h.Headers})
}

// broadcast is the argument of the event with its name.
type broadcast struct {
	Event    string   `json:"event"`
	Args     []any    `json:"args"`
	To       []string `json:"to"`
	Except   []string `json:"except"`
	Others   bool     `json:"others"` // not to the sender
	Volatile bool     `json:"volatile"`
}

// rooms: joining, leaving, targets, and the ends that a server makes.
func rooms(n *spanwire.Namespace) {
	spanwire.On(n, "join", func(_ context.Context, e *spanwire.Event, room string) (spanwire.None, error) {
		return spanwire.None{}, e.Socket.Join(room)
	})
	spanwire.On(n, "leave", func(_ context.Context, e *spanwire.Event, room string) (spanwire.None, error) {
		return spanwire.None{}, e.Socket.Leave(room)
	})
	spanwire.On(n, "broadcast", func(_ context.Context, e *spanwire.Event, b broadcast) (spanwire.None, error) {
		target := n.All().To(b.To...).Except(b.Except...)
		if b.Others {
			target = target.Except(e.Socket.ID())
		}
		if b.Volatile {
			target = target.Volatile()
		}
		return spanwire.None{}, target.Emit(b.Event, b.Args...)
	})
	n.On("poll", poll)
	spanwire.On(n, "kick", func(_ context.Context, e *spanwire.Event, session bool) (spanwire.None, error) {
		return spanwire.None{}, e.Socket.Disconnect(session)
	})
	spanwire.On(n, "kick other", func(_ context.Context, _ *spanwire.Event, room string) (spanwire.None, error) {
		return spanwire.None{}, n.To(room).Disconnect(false)
	})
}

// poll asks a room, and takes the answers that come in the milliseconds that it is given.
func poll(ctx context.Context, e *spanwire.Event) error {
	room, limit := "", int(answerTime/time.Millisecond)
	targets := []any{&room}
	if len(e.Args()) > 1 {
		targets = append(targets, &limit)
	}
	if err := e.Bind(targets...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(limit)*time.Millisecond)
	defer cancel()
	acks, err := e.Socket.Namespace().To(room).EmitWithAck(ctx, "question", "all")
	if err != nil {
		return err
	}
	answers := make([]json.RawMessage, len(acks.Acks))
	for i := range acks.Acks {
		answers[i] = acks.Acks[i].Raw()
	}
	return e.Ack(map[string]any{"answers": answers, "missing": acks.Missing})
}

// work answers with the process that did it, or hangs in a process that was started to hang.
func work(svc *spanwire.Service) {
	svc.On("work", func(ctx context.Context, e *spanwire.Event) error {
		var key int
		if err := e.Bind(&key); err != nil {
			return err
		}
		fmt.Printf("work %d\n", key)
		if os.Getenv("HOLD") != "" {
			<-ctx.Done()
			return ctx.Err()
		}
		return e.Ack(key, os.Getpid())
	})
}

// admin is a namespace that not everybody may enter.
func admin(n *spanwire.Namespace) {
	n.OnConnect(func(_ context.Context, s *spanwire.Socket) error {
		var a auth
		if err := s.Handshake().BindAuth(&a); err != nil || !a.Admin {
			return spanwire.Refuse("admins only")
		}
		return nil
	})
	handle(n, "echo", func(_ context.Context, e *spanwire.Event, args []any) error { return e.Ack(args...) })
	spanwire.On(n, "shout", func(_ context.Context, _ *spanwire.Event, text string) (spanwire.None, error) {
		return spanwire.None{}, n.Emit("shouted", text)
	})
}

// custom is a namespace whose auth is of texts alone, so that clients which can only send a query
// say all that they have to.
func custom(n *spanwire.Namespace) {
	n.OnConnect(func(_ context.Context, s *spanwire.Socket) error {
		var a struct {
			Refuse string `json:"refuse"`
			Code   string `json:"code"`
		}
		if err := s.Handshake().BindAuth(&a); err != nil {
			return err
		}
		if a.Refuse != "" {
			if a.Code == "" {
				return spanwire.Refuse(a.Refuse)
			}
			return spanwire.Refuse(a.Refuse, map[string]any{"code": a.Code})
		}
		return nil
	})
	handle(n, "echo", func(_ context.Context, e *spanwire.Event, args []any) error { return e.Ack(args...) })
	n.On("handshake", handshake)
}
