// SPDX-License-Identifier: Apache-2.0

package config

func (l *Listen) settings() []Setting {
	return []Setting{
		{Name: "http-address", value: text(&l.HTTPAddress), Doc: "Where browsers connect. Port 0 takes any free port."},
		{Name: "service-address", value: text(&l.ServiceAddress), Doc: "Where handlers and emitters dial in by gRPC. Beyond loopback it " +
			"needs service-tokens, service-callers, service-tls-cert or insecure-services."},
		{Name: "operator-address", value: text(&l.OperatorAddress), Doc: "Where operators find health, readiness, metrics and profiles. " +
			"Beyond loopback it needs service-tokens, service-callers, operator-tls-client-ca or insecure-operators. Health and readiness are open to all who " +
			"reach it. Empty turns it off."},
		{Name: "operator-hosts", value: list(&l.OperatorHosts), Doc: "Hosts that requests to operator-address may ask for, besides IP addresses, localhost and the host of " +
			"operator-address, in the form of allowed-hosts. Others are answered with 403."},
		{Name: "insecure-operators", value: toggle(&l.InsecureOperator), Doc: "Lets anyone who reaches operator-address read metrics and status, without token or certificate. " +
			"For trusted networks only. Profiles still need the right operate, or a peer on loopback."},
		{Name: "insecure-services", value: toggle(&l.InsecureServices), Doc: "Lets anyone who reaches service-address attach as a handler, " +
			"without token or TLS. For trusted networks only."},
		{Name: "service-tokens", value: list(&l.ServiceTokens), secret: &l.TokensFile, Doc: "Bearer tokens, any of which handlers and emitters must show. Several " +
			"allow a rotation. Empty means that none is asked for."},
		{Name: "service-callers", value: text(&l.ServiceCallers), Doc: "YAML file of who may call service-address and the operators' API, and " +
			"what each may do; see docs/how-to/security.md. It is read anew when it changes."},
		{Name: "service-tls-cert", value: text(&l.ServiceTLS.Cert), Doc: "File with the PEM certificate chain of service-address. All files of " +
			"certificates and keys are read anew when they change."},
		{Name: "service-tls-key", value: text(&l.ServiceTLS.Key), Doc: "File with the PEM key of service-tls-cert."},
		{Name: "service-tls-client-ca", value: text(&l.ServiceTLS.ClientCA), Doc: "File with the PEM certificates of the authorities whose certificates " +
			"handlers and emitters must show. Empty asks for none."},
		{Name: "service-tls-client-optional", value: toggle(&l.ServiceTLS.Optional), Doc: "Lets handlers and emitters in that show no certificate, for " +
			"example since they show a token."},
		{Name: "http-tls-cert", value: text(&l.HTTPTLS.Cert), Doc: "File with the PEM certificate chain of http-address, for browsers that come " +
			"without a proxy between."},
		{Name: "http-tls-key", value: text(&l.HTTPTLS.Key), Doc: "File with the PEM key of http-tls-cert."},
		{Name: "http-tls-client-ca", value: text(&l.HTTPTLS.ClientCA), Doc: "File with the PEM certificates of the authorities whose certificates " +
			"browsers must show. Empty asks for none."},
		{Name: "operator-tls-cert", value: text(&l.OperatorTLS.Cert), Doc: "File with the PEM certificate chain of operator-address."},
		{Name: "operator-tls-key", value: text(&l.OperatorTLS.Key), Doc: "File with the PEM key of operator-tls-cert."},
		{Name: "operator-tls-client-ca", value: text(&l.OperatorTLS.ClientCA), Doc: "File with the PEM certificates of the authorities whose certificates " +
			"operators must show. Empty asks for none."},
		{Name: "reload-interval", value: duration(&l.ReloadInterval), Doc: "How often files of certificates and of callers are looked at."},
		{Name: "advertise-address", value: text(&l.AdvertiseAddress), Doc: "The host:port at which handlers on other machines reach this " +
			"replica's service-address, told to them so that they can attach to every replica. Empty means service-address when it " +
			"names a host."},
		{Name: "upstream", value: text(&l.Upstream.URL), Doc: "URL of a web application that gets every request that is not Socket.IO, so that page " +
			"and sockets share one origin. Empty means that such requests are answered with 404."},
		{Name: "upstream-connect-timeout", value: duration(&l.Upstream.ConnectTimeout), Doc: "Time for the upstream to take a connection, before the request is " +
			"answered with 502."},
		{Name: "upstream-body-timeout", value: duration(&l.Upstream.BodyTimeout), Doc: "Time in which the body of a request to the upstream must end, or bring as many " +
			"bytes as upstream-min-body-rate makes in that time; then the time begins again. A slower body is answered with 408. The time in which the upstream " +
			"does not read does not count."},
		{Name: "upstream-min-body-rate", value: size(&l.Upstream.MinBodyRate), Doc: "Least rate of the body of a request to the upstream, in bytes per second, over each " +
			"upstream-body-timeout. 0 asks for one byte in that time."},
		{Name: "upstream-answer-timeout", value: duration(&l.Upstream.AnswerTimeout), Doc: "Time for the upstream to begin its answer once it has the request, and to take each " +
			"part of the request. Then the answer is 504. An answer that has begun may last, and so may a WebSocket. 0 is no limit; `broker dev` sets it, " +
			"for breakpoints."},
		{Name: "allowed-hosts", value: list(&l.AllowedHosts), Doc: "Hosts that requests to http-address may ask for, like app.example.com, app.example.com:8443, " +
			"*.example.com for any one label, or an address. Without a port an entry matches every port. Others are answered with 403, which stops pages " +
			"that let their own name lead here (DNS rebinding). Of trusted-proxies X-Forwarded-Host counts. Empty allows all."},
		{Name: "trusted-proxies", value: list(&l.TrustedProxies), Doc: "Addresses and networks of the proxies in front of http-address, like " +
			"10.0.0.0/8. The broker takes the client's address and its own origin from their X-Forwarded-For, X-Forwarded-Proto, " +
			"X-Forwarded-Host and X-Forwarded-Port. It ignores these headers of others."},
		{Name: "proxy-protocol", value: toggle(&l.ProxyProtocol), Doc: "Makes every connection of trusted-proxies to http-address begin with a header of the " +
			"PROXY protocol, version 1 or 2, whose address becomes the client's. For load balancers that pass on TCP."},
		{Name: "header-timeout", value: duration(&l.HeaderTimeout), Doc: "Time for the header of a browser's request to come."},
		{Name: "max-header", value: size(&l.MaxHeader), Doc: "Largest header of a browser's request, with its URL and cookies. A larger one is answered " +
			"with 431. Go adds 4 KiB to it."},
	}
}

func (e *Engine) settings() []Setting {
	return []Setting{
		{Name: "path", value: list(&e.Paths), Doc: "Paths of the Engine.IO endpoint, each exactly as written; clients name theirs in their option `path`, " +
			"and add a slash to the end unless told otherwise."},
		{Name: "transports", value: list(&e.Transports), Doc: "Transports that are offered: polling, websocket."},
		{Name: "allow-upgrades", value: toggle(&e.AllowUpgrades), Doc: "Lets a polling session become a WebSocket session."},
		{Name: "allow-eio3", value: toggle(&e.AllowEIO3), Doc: "Also lets clients in that speak revision 3 of Engine.IO, as those of " +
			"Socket.IO 1 and 2 do, on the same port and path."},
		{Name: "allow-jsonp", value: toggle(&e.AllowJSONP), Doc: "Also lets clients in that poll by JSONP. Any page can load scripts from " +
			"any server, with the user's cookies and without an Origin that could be checked: leave it off unless browsers without CORS need it."},
		{Name: "upgrade-timeout", value: duration(&e.UpgradeTimeout), Doc: "Bounds the upgrade from polling to WebSocket."},
		{Name: "ping-interval", value: duration(&e.PingInterval), Doc: "Time from one pong to the next ping."},
		{Name: "ping-timeout", value: duration(&e.PingTimeout), Doc: "Time that a browser has to answer a ping, before its session closes with " +
			"`ping timeout`."},
		{Name: "max-payload", value: size(&e.MaxPayload), Doc: "Largest polling body and WebSocket message that a browser may send. A larger " +
			"one closes its session with `payload too large`."},
		{Name: "explain-too-large", value: toggle(&e.ExplainTooLarge), Doc: "Names the limit in the body of an answer with 413 and in the text of a close " +
			"with 1009. Both are empty otherwise, as those of the reference server; the log names the limit always."},
		{Name: "max-packets-per-payload", value: number(&e.MaxPacketsPerPayload), Doc: "Most packets in one polling body."},
		{Name: "max-packets-per-answer", value: number(&e.MaxPacketsPerAnswer), Doc: "Most packets in one polling answer to a client of " +
			"packet-limited-agents; the rest waits for its next request. All other clients get everything that waits, up to max-payload bytes."},
		{Name: "packet-limited-agents", value: list(&e.PacketLimitedAgents), Doc: "Words in the User-Agent of clients that read at most " +
			"max-packets-per-answer packets from one polling answer and close the session over more, in any case; * stands for all clients. " +
			"python-socketio is such a client: it is also recognized by its cache buster, the query key `t`, unless this list is empty."},
		{Name: "max-packet-rate", value: number(&e.MaxPacketRate), Doc: "Most packets per second that one session may send; twice as many may come at " +
			"once, and each attachment counts as one. A session that passes it is closed with `too many packets`. 0 is no limit."},
		{Name: "max-sessions", value: number(&e.MaxSessions), Doc: "Most sessions of this replica. Beyond it new ones are answered with 503, to come again " +
			"later. 0 is no limit."},
		{Name: "max-sessions-per-address", value: number(&e.MaxSessionsPerAddr), Doc: "Most sessions of one client address on this replica; with IPv6 a " +
			"network of 64 bits counts as one address. Many users can share one address, and behind a proxy all do unless trusted-proxies names it. " +
			"Beyond it new ones are answered with 503. 0 is no limit."},
		{Name: "max-outbound", value: size(&e.MaxOutbound), Doc: "Most bytes that wait for one browser. A session for which more would wait is closed with " +
			"`slow consumer`, and the emit counts as dropped for it. What handlers emit while a connect is pending has the same bound, apart from it."},
		{Name: "max-outbound-total", value: size(&e.MaxOutboundTotal), Doc: "Most bytes that wait for all browsers of this replica together. Bytes of a " +
			"broadcast count once, however many sessions they wait for. When it is reached, sessions are closed with `slow consumer`: the largest first, " +
			"and those that take nothing before those that read. 0 stands for a quarter of memory-limit, at most 256 MiB."},
		{Name: "allowed-origins", value: list(&e.AllowedOrigins), Doc: "Origins of pages that may connect besides the broker's own, like " +
			"https://app.example.com. https://*.example.com matches any one label in place of the star, * matches all, and null matches pages without an " +
			"origin, from files or in sandboxed frames. It holds for every transport."},
		{Name: "require-origin", value: toggle(&e.RequireOrigin), Doc: "Refuses clients that send no Origin, which programs other than browsers " +
			"usually do not."},
		{Name: "cors-max-age", value: duration(&e.CORSMaxAge), Doc: "How long browsers may remember that requests of an allowed origin are allowed, in " +
			"whole seconds. 0 leaves it to the browser."},
		{Name: "close-timeout", value: duration(&e.CloseTimeout), Doc: "How long a closed polling session waits for the request that fetches its " +
			"last packets."},
		{Name: "body-timeout", value: duration(&e.BodyTimeout), Doc: "Bounds the reading of one polling body."},
		{Name: "write-timeout", value: duration(&e.WriteTimeout), Doc: "How long a browser may take nothing of what is written to it, before its session is " +
			"closed with `slow consumer`. A polling browser that does not come for what waits is found by ping-timeout."},
		{Name: "polling-compression", value: toggle(&e.PollingCompression), Doc: "Compresses polling answers with gzip or deflate where the browser takes " +
			"it. Events that were emitted without compression are compressed only in one answer with others."},
		{Name: "websocket-compression", value: toggle(&e.WebSocketCompression), Doc: "Lets browsers and the broker compress WebSocket messages " +
			"(permessage-deflate, without context takeover). It costs time for every event; a broadcast is compressed once for all."},
		{Name: "compression-threshold", value: size(&e.CompressionThreshold), Doc: "Smallest polling answer and smallest WebSocket message that the " +
			"broker compresses."},
		{Name: "cookie-name", value: text(&e.Cookie.Name), Doc: "Name of a cookie with the session's id on the first answer of a session, for load balancers " +
			"that keep a session's requests together by it. The id is a secret of the browser. Empty means no cookie."},
		{Name: "cookie-path", value: text(&e.Cookie.Path), Doc: "Path of the cookie. Empty leaves it out."},
		{Name: "cookie-domain", value: text(&e.Cookie.Domain), Doc: "Domain of the cookie. Empty leaves it out."},
		{Name: "cookie-max-age", value: duration(&e.Cookie.MaxAge), Doc: "Age at which browsers drop the cookie, in whole seconds. 0 means when they close."},
		{Name: "cookie-secure", value: toggle(&e.Cookie.Secure), Doc: "Lets browsers send the cookie by HTTPS only."},
		{Name: "cookie-same-site", value: text(&e.Cookie.SameSite), Doc: "With which requests of other sites browsers send the cookie: lax, strict, none " +
			"(which needs cookie-secure), or empty to leave it out."},
		{Name: "cookie-http-only", value: toggle(&e.Cookie.HTTPOnly), Doc: "Hides the cookie from scripts of the page."},
	}
}

func (s *Socket) settings() []Setting {
	return []Setting{
		{Name: "connect-timeout", value: duration(&s.ConnectTimeout), Doc: "How long a session may be without a namespace."},
		{Name: "max-attachments", value: number(&s.MaxAttachments), Doc: "Most binary attachments of one event or ack from a browser."},
		{Name: "max-namespaces-per-session", value: number(&s.MaxNamespaces), Doc: "Most namespaces that one session is in, or asks for, at a time."},
		{Name: "max-json-depth", value: number(&s.MaxJSONDepth), Doc: "Deepest nesting of arrays and objects that a browser or a handler may send."},
		{Name: "max-namespace-length", value: number(&s.MaxNamespaceLength), Doc: "Longest name of a namespace, in bytes."},
		{Name: "max-event-name-length", value: number(&s.MaxEventNameLength), Doc: "Longest name of an event from a browser, in bytes."},
		{Name: "max-event-rate", value: number(&s.MaxEventRate), Doc: "Most events of one session per second. As many may come at once. 0 means " +
			"that there is no limit."},
		{Name: "attachment-timeout", value: duration(&s.AttachmentTimeout), Doc: "Time for all attachments of one packet to come."},
		{Name: "connect-rate", value: number(&s.ConnectRate), Doc: "Most connects of one session per second."},
		{Name: "max-unfinished", value: size(&s.MaxUnfinished), Doc: "Most bytes of packets whose attachments have not all come, of all " +
			"sessions together. It must hold max-payload."},
		{Name: "max-outstanding-acks", value: number(&s.MaxOutstandingAcks), Doc: "Most acks that one socket may owe. Beyond it the oldest " +
			"counts as missing."},
		{Name: "recovery", value: duration(&s.Recovery), Doc: "How long a socket whose connection was lost may come back, with its id, its rooms and " +
			"what it missed. 0 turns that off; 2m suits most."},
		{Name: "recovery-max-packets", value: number(&s.RecoveryPackets), Doc: "Most events of one namespace that are kept for sockets that come back. " +
			"One that missed an event which is kept no more connects anew."},
		{Name: "recovery-max-bytes", value: size(&s.RecoveryBytes), Doc: "The same bound in bytes."},
		{Name: "recovery-max-sessions", value: number(&s.RecoverySessions), Doc: "Most sockets that were cut off and may come back at a time. Beyond it " +
			"the one that was cut off first may not."},
		{Name: "serve-client", value: toggle(&s.ServeClient), Doc: "Serves the standard JavaScript client under the path, as socket.io.js."},
	}
}

func (s *Services) settings() []Setting {
	return []Setting{
		{Name: "socket-queue-events", value: number(&s.QueueEvents), Doc: "Most events of one socket that wait for one service, before the broker " +
			"stops reading from its browser."},
		{Name: "socket-queue-bytes", value: size(&s.QueueBytes), Doc: "The same bound in bytes."},
		{Name: "connect-hold", value: duration(&s.ConnectHold), Doc: "How long a connect waits for a service that is away, before the transport is " +
			"closed so that the client tries again."},
		{Name: "hold-timeout", value: duration(&s.HoldTimeout), Doc: "How long events wait for a service that is away."},
		{Name: "rebalance-rate", value: number(&s.RebalanceRate), Doc: "Idle sockets of one service that move in a second, on one replica, from instances " +
			"with many sockets to instances with few. 0 moves none."},
		{Name: "rebalance-ratio", value: number(&s.RebalanceRatio), Doc: "Sockets move when the instance with the most of one service's sockets has more than this many " +
			"percent of the sockets of the instance with the fewest."},
		{Name: "max-redeliveries", value: number(&s.MaxRedeliveries), Doc: "How often an event is handed out again whose instances go away while it is open. Then it is set aside: logged, counted, and handed out no more."},
		{Name: "drain-grace", value: duration(&s.DrainGrace), Doc: "How long an instance that drains is kept at least when there are other replicas, so that what they " +
			"sent it before they heard of the drain is not given to another."},
		{Name: "absent-service-bytes", value: size(&s.AbsentBytes), Doc: "Most bytes of events that wait for one service while it is absent, " +
			"on one replica. One socket may take half of what the others leave. Only beyond it socket-queue-events and socket-queue-bytes stop the reading from a browser. 0 is none."},
		{Name: "service-retention", value: duration(&s.ServiceRetention), Doc: "How long an absent service is known. Then it is retired, as by `broker services " +
			"retire`: connects do not wait for it any more. 0 means until it is retired, which keeps a namespace closed whose service for " +
			"authentication is absent. `broker dev` sets it to 2 s. The time does not run out while the replica cannot hear of others."},
		{Name: "retain-last-service", value: toggle(&s.RetainLastService), Doc: "Keeps an absent service beyond service-retention until a connect waits for " +
			"it alone. Without another service for the namespace, connects and events wait for it as without service-retention. `broker dev` turns it on."},
		{Name: "hold-sockets", value: number(&s.HoldSockets), Doc: "Most sockets whose disconnects wait for one service that is away."},
		{Name: "handler-timeout", value: duration(&s.HandlerTimeout), Doc: "Time that a handler has for one event, before the broker gives up on " +
			"the result. It counts from when the instance has the event, and what the same socket sent before it has ended."},
		{Name: "instance-window", value: number(&s.InstanceWindow), Doc: "Open dispatches of an instance that asks for no window of its own."},
		{Name: "max-instance-window", value: number(&s.MaxWindow), Doc: "Largest window that an instance may ask for."},
		{Name: "instance-window-bytes", value: size(&s.WindowBytes), Doc: "Most bytes of the open dispatches of one instance."},
		{Name: "ack-timeout", value: duration(&s.AckTimeout), Doc: "How long an emit waits for acks when it names no time."},
		{Name: "stall-timeout", value: duration(&s.StallTimeout), Doc: "How long an instance may leave frames unanswered before its stream is ended " +
			"and its events go to others."},
		{Name: "register-timeout", value: duration(&s.RegisterTimeout), Doc: "Time that an instance has to register after it opened its stream."},
		{Name: "max-frame", value: size(&s.MaxFrame), Doc: "Largest frame on an instance's stream, in either direction; it must hold max-payload."},
		{Name: "max-services", value: number(&s.MaxServices), Doc: "Most names of services that the broker remembers."},
		{Name: "max-dynamic-namespaces", value: number(&s.MaxDynamic), Doc: "Most namespaces that have sockets on one replica and that services " +
			"registered by pattern only. Beyond it connects to further ones are refused."},
		{Name: "max-ack-waits", value: number(&s.MaxAckWaits), Doc: "Most commands of one instance that wait for acks, or for answers of " +
			"other replicas, at a time."},
		{Name: "query-timeout", value: duration(&s.QueryTimeout), Doc: "How long a query for sockets, rooms or data waits for other replicas when " +
			"it names no time."},
		{Name: "max-query-results", value: number(&s.MaxQueryResults), Doc: "Most sockets or rooms in the answer to one query. An answer that " +
			"leaves some out says so."},
		{Name: "max-tails", value: number(&s.MaxTails), Doc: "Most callers that follow what happens (`broker tail`) at a time."},
		{Name: "tail-backlog", value: number(&s.TailBacklog), Doc: "Most trace events that wait for one caller that follows; beyond, it misses " +
			"some, which are counted."},
		{Name: "max-call-body", value: size(&s.MaxCallBody), Doc: "Most bytes in the body of a call to the HTTP API at operator-address."},
		{Name: "idempotency-window", value: duration(&s.IdempotencyWindow), Doc: "How long the idempotency key of a call is remembered with its " +
			"answer, once the call was carried out."},
		{Name: "max-idempotency-keys", value: number(&s.MaxIdempotencyKeys), Doc: "Most idempotency keys that are remembered; the oldest is " +
			"forgotten first."},
		{Name: "max-idempotency-bytes", value: size(&s.MaxIdempotencyBytes), Doc: "Most bytes of answers that are remembered with idempotency keys; " +
			"the oldest is forgotten first."},
		{Name: "max-socket-data", value: size(&s.MaxSocketData), Doc: "Most bytes of data that handlers may keep with one socket."},
		{Name: "max-room-events", value: number(&s.MaxRoomEvents), Doc: "How many dispatches of one socket may wait for one service before room " +
			"events are dropped."},
		{Name: "max-answer-bytes", value: size(&s.MaxAnswers), Doc: "Most bytes of answers to its commands that an instance may leave unread, before " +
			"its stream is ended."},
		{Name: "service-keepalive", value: duration(&s.Keepalive), Doc: "How long an instance or caller may be silent before it is asked whether it lives, and " +
			"again how long the answer may take. At least 1 s."},
		{Name: "allow-socket-id-rooms", value: toggle(&s.AllowSocketIDRooms), Doc: "Lets sockets join rooms that have the form of another socket's id: " +
			"30 characters of URL-safe base64. Members of such a room hear what is emitted to that socket alone. A socket is always in the room of its " +
			"own id."},
		{Name: "max-streams", value: number(&s.MaxStreams), Doc: "Most calls at a time on one connection to service-address."},
	}
}

func (c *Cluster) settings() []Setting {
	return []Setting{
		{Name: "cluster", value: text(&c.Name), Doc: "Name of the cluster: replicas with the same name and NATS belong together."},
		{Name: "nats-url", value: text(&c.NATSURL), secret: &c.NATSURLFile, Doc: "URL of an external NATS, like nats://host:4222; several with commas between. Empty means " +
			"that the broker embeds a NATS server."},
		{Name: "nats-listen", value: text(&c.NATSListen), Doc: "host:port at which other replicas reach the embedded NATS server. Empty means that it " +
			"serves this replica alone."},
		{Name: "nats-token", value: text(&c.NATSToken), secret: &c.NATSTokenFile, Doc: "Secret of the NATS server: asked for by the embedded one, shown to the external one."},
		{Name: "cluster-tls-cert", value: text(&c.TLS.Cert), Doc: "File with the PEM certificate chain that this replica shows to other replicas and to " +
			"NATS: at nats-listen and forward-address, and where it dials theirs. All replicas need one, or none."},
		{Name: "cluster-tls-key", value: text(&c.TLS.Key), Doc: "File with the PEM key of cluster-tls-cert."},
		{Name: "cluster-tls-client-ca", value: text(&c.TLS.ClientCA), Doc: "File with the PEM certificates of the authorities whose certificates other replicas " +
			"and NATS must show, in both directions."},
		{Name: "replica-heartbeat", value: duration(&c.ReplicaHeartbeat), Doc: "Time between two signs of life of a replica."},
		{Name: "replica-timeout", value: duration(&c.ReplicaTimeout), Doc: "After so long a silence a replica is taken for dead."},
		{Name: "max-envelope", value: size(&c.MaxEnvelope), Doc: "Largest envelope between replicas; it must hold max-payload. An external NATS " +
			"needs a max_payload of as much."},
		{Name: "replica-backlog", value: number(&c.MaxBacklog), Doc: "Most envelopes of other replicas that wait here. What comes beyond is lost, " +
			"counted and logged."},
		{Name: "nats-reconnect-buffer", value: size(&c.ReconnectBuffer), Doc: "Most bytes that are kept for sending while NATS is away. Emits are " +
			"answered as partial deliveries meanwhile: what is kept reaches the replicas that are back before this one, and what is beyond it none. 0 keeps nothing."},
		{Name: "forward-events", value: number(&c.ForwardEvents), Doc: "Most dispatches that other replicas may leave waiting for one instance here."},
		{Name: "forward-bytes", value: size(&c.ForwardBytes), Doc: "The same bound in bytes."},
		{Name: "max-gathers", value: number(&c.MaxGathers), Doc: "Most emits, messages and queries of other replicas that wait here " +
			"for acks or answers."},
		{Name: "forward-address", value: text(&c.ForwardAddress), Doc: "Where other replicas hand over requests of this replica's sessions, so that a " +
			"balancer may send each request to any replica. Beyond loopback it needs cluster-secret or nats-token, and a network that nobody " +
			"listens on. A replica that was given neither nats-url nor nats-listen has no others and does not open it. Empty turns it off."},
		{Name: "forward-advertise-address", value: text(&c.ForwardAdvertise), Doc: "The host:port at which other replicas reach forward-address, told to " +
			"them. Empty means forward-address when it names a host; a loopback one is told only when NATS is on loopback, too."},
		{Name: "cluster-secret", value: text(&c.Secret), secret: &c.SecretFile, Doc: "Secret that the replicas of a cluster share. It authenticates all that they say to " +
			"each other over NATS, and requests that one of them forwards: replicas with another secret, or none, are not believed. Empty means nats-token."},
		{Name: "max-forwards", value: number(&c.MaxForwards), Doc: "Most requests and WebSockets of other replicas' sessions that this replica forwards " +
			"at a time. Beyond it they are answered with 503."},
	}
}

func (r *Run) settings() []Setting {
	return []Setting{
		{Name: "drain-timeout", value: duration(&r.DrainTimeout), Doc: "Most time that a stopping broker takes to send browsers away and to let " +
			"handlers finish. What is left then is cut off. A session is closed when handlers have answered its events, after three fifths of it " +
			"at the latest; sessions get three quarters of it. `broker dev` sets it to 3 s."},
		{Name: "drain-spread", value: duration(&r.DrainSpread), Doc: "Time over which a stopping broker closes its sessions, so that the browsers do " +
			"not all reconnect at once; never more than half of drain-timeout. `broker dev` sets it to 0."},
		{Name: "memory-limit", value: size(&r.MemoryLimit), Doc: "Memory that the broker tries not to exceed: near it, the runtime collects garbage more often. " +
			"0 stands for GOMEMLIMIT when the environment sets it, else for 90 % of what the container may have (cgroup), and for no limit without one."},
		{Name: "log-level", value: text(&r.LogLevel), Doc: "Least important lines to be logged: debug, info, warn or error."},
		{Name: "log-format", value: text(&r.LogFormat), Doc: "Form of the log on standard error: text or json."},
		{Name: "profiling", value: toggle(&r.Profiling), Doc: "Serves Go profiles at operator-address under /debug/pprof/."},
		{Name: "exit-with-parent", value: toggle(&r.ExitWithParent), Doc: "Stops the broker when the process that started it ends. For programs that " +
			"start a broker of their own."},
	}
}
