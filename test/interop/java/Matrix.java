// SPDX-License-Identifier: Apache-2.0

import io.socket.client.Ack;
import io.socket.client.Manager;
import io.socket.client.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.json.JSONArray;
import org.json.JSONObject;

/**
 * Runs the Java client of matrix.json, in the version on the class path, and writes what it could do into the folder RESULTS.
 *
 * <pre>java -cp CLASSPATH Matrix.java DRIVER     where DRIVER is "java-1" or "java-2"</pre>
 */
public final class Matrix {
    /** Generous, since machines that run the matrix are busy. */
    private static final long LIMIT_MS = 15_000;

    private static final String[] TRANSPORTS = {"polling", "websocket", "upgrade"};
    private static final HttpClient HTTP = HttpClient.newHttpClient();

    private interface Feature {
        void run(World world) throws Exception;
    }

    private interface Condition {
        boolean holds() throws Exception;
    }

    public static void main(String[] args) throws Exception {
        JSONObject matrix = new JSONObject(Files.readString(Path.of("test/interop/matrix.json")));
        String broker = "/clusters/" + ask("POST", "/clusters", "{\"replicas\":1}").getString("id");
        ask("POST", broker + "/handlers", "{}");
        ExecutorService pool = Executors.newFixedThreadPool(TRANSPORTS.length);
        List<Future<Void>> runs = new ArrayList<>();
        try {
            for (Object table : list(matrix.getJSONArray("tables"))) {
                for (Object each : list(((JSONObject) table).getJSONArray("clients"))) {
                    JSONObject client = (JSONObject) each;
                    if (!client.getString("driver").equals(args[0])) {
                        continue;
                    }
                    for (String transport : TRANSPORTS) {
                        JSONArray features = ((JSONObject) table).getJSONArray("features");
                        runs.add(pool.submit((Callable<Void>) () -> runAll(client, transport, features, broker)));
                    }
                }
            }
            for (Future<Void> run : runs) {
                run.get();
            }
        } finally {
            ask("DELETE", broker, "");
        }
        System.exit(0); // the client leaves threads behind
    }

    /** Runs all features of one client on one transport, and stores the rows. */
    private static Void runAll(JSONObject client, String transport, JSONArray features, String broker) throws Exception {
        JSONObject line = ask("POST", broker + "/lines", "{}");
        String cut = broker + "/lines/" + line.getString("name") + "/cut";
        World world = new World(line.getString("url"), transport, client.optInt("revision", 4), cut);
        String handler = System.getenv("TEST_HANDLER");
        JSONArray rows = new JSONArray();
        String broken = "";
        for (Object name : list(features)) {
            JSONObject row = new JSONObject();
            row.put("client", client.getString("id")).put("version", version()).put("transport", transport);
            row.put("handler", handler).put("feature", name).put("outcome", "ok");
            rows.put(row);
            JSONObject without = client.optJSONObject("without");
            if (without != null && without.has((String) name)) {
                row.put("outcome", "not offered");
                continue;
            }
            try {
                if (!broken.isEmpty()) {
                    throw new AssertionError(broken);
                }
                FEATURES.get(name).run(world);
            } catch (Exception | AssertionError e) {
                row.put("outcome", "failed").put("why", String.valueOf(e));
                if (rows.length() == 1) {
                    broken = "it does not connect: " + e;
                }
            } finally {
                world.closeAll();
            }
        }
        Path folder = Path.of(System.getenv("RESULTS"));
        Files.createDirectories(folder);
        Files.writeString(folder.resolve(client.getString("id") + "-" + transport + "-" + handler + ".json"), rows.toString(1));
        return null;
    }

    private static String version() throws Exception {
        Properties properties = new Properties();
        properties.load(Manager.class.getResourceAsStream("/META-INF/maven/io.socket/socket.io-client/pom.properties"));
        return properties.getProperty("version");
    }

    private static JSONObject ask(String method, String path, String body) throws Exception {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(System.getenv("TEST_CONTROL") + path));
        request.method(method, HttpRequest.BodyPublishers.ofString(body));
        HttpResponse<String> response = HTTP.send(request.build(), HttpResponse.BodyHandlers.ofString());
        check(response.statusCode() == 200, method + " " + path + ": " + response.body());
        return new JSONObject(response.body());
    }

    /** Makes clients on one transport. */
    private static final class World {
        final String url;
        final String transport;
        final int revision;
        final String cut;
        private final List<Client> clients = new ArrayList<>();

        World(String url, String transport, int revision, String cut) {
            this.url = url;
            this.transport = transport;
            this.revision = revision;
            this.cut = cut;
        }

        Client client(String namespace, Map<String, String> auth) throws Exception {
            Manager.Options options = new Manager.Options();
            options.transports = transport.equals("upgrade") ? new String[] {"polling", "websocket"} : new String[] {transport};
            options.reconnectionDelay = 50;
            options.reconnectionDelayMax = 200;
            tell(options, auth);
            Client client = new Client(this, new Manager(URI.create(url), options), namespace, options);
            clients.add(client);
            return client;
        }

        /** Before Socket.IO 3 a query was all that a client could send, so releases of that time have no field for auth. */
        void tell(Manager.Options options, Map<String, String> auth) throws Exception {
            if (revision == 4) {
                Manager.Options.class.getField("auth").set(options, auth);
                return;
            }
            List<String> pairs = new ArrayList<>();
            auth.forEach((name, value) -> pairs.add(name + "=" + value));
            options.query = String.join("&", pairs);
        }

        Client connected(String namespace, Map<String, String> auth) throws Exception {
            Client client = client(namespace, auth);
            client.connect();
            return client;
        }

        Client connected() throws Exception {
            return connected("/", Map.of());
        }

        void closeAll() {
            for (Client client : clients) {
                client.socket.io().reconnection(false);
                client.socket.disconnect();
            }
            clients.clear();
        }
    }

    /** One socket, with the waiting that its client leaves to callbacks. */
    private static final class Client {
        final Socket socket;
        private final World world;

        Client(World world, Manager manager, String namespace, Manager.Options options) {
            this.world = world;
            this.socket = manager.socket(namespace, options);
        }

        Client(World world, Socket socket) {
            this.world = world;
            this.socket = socket;
        }

        String refusal() {
            return world.revision == 3 ? "error" : "connect_error";
        }

        void connect() throws Exception {
            List<Object[]> connected = hear("connect");
            List<Object[]> refused = hear(refusal());
            List<Object[]> failed = hear("connect_error");
            socket.connect();
            until("the connection", () -> !connected.isEmpty() || !refused.isEmpty() || !failed.isEmpty());
            check(refused.isEmpty() && failed.isEmpty(), "refused: " + canonical(refused) + canonical(failed));
        }

        /** Keeps the arguments of each event of a name. */
        List<Object[]> hear(String event) {
            List<Object[]> heard = new CopyOnWriteArrayList<>();
            socket.on(event, heard::add);
            return heard;
        }

        BlockingQueue<Object[]> begin(String event, Object... args) {
            BlockingQueue<Object[]> answers = new LinkedBlockingQueue<>();
            socket.emit(event, args, answers::add);
            return answers;
        }

        Object[] ask(String event, Object... args) throws Exception {
            return take(begin(event, args));
        }

        /** The name of the transport; only the client itself may see it, so it is looked up behind its back. */
        String transport() throws Exception {
            Object engine = field(socket.io(), "engine");
            Object transport = field(engine, "transport");
            return (String) transport.getClass().getField("name").get(transport);
        }

        private static Object field(Object owner, String name) throws Exception {
            for (Class<?> c = owner.getClass(); c != null; c = c.getSuperclass()) {
                try {
                    java.lang.reflect.Field field = c.getDeclaredField(name);
                    field.setAccessible(true);
                    return field.get(owner);
                } catch (NoSuchFieldException e) {
                    continue; // it may be inherited
                }
            }
            throw new NoSuchFieldException(name);
        }
    }

    private static Object[] take(BlockingQueue<Object[]> answers) throws Exception {
        Object[] answer = answers.poll(LIMIT_MS, TimeUnit.MILLISECONDS);
        check(answer != null, "the ack did not come");
        return answer;
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    private static void until(String what, Condition condition) throws Exception {
        for (long end = System.nanoTime() + LIMIT_MS * 1_000_000; !condition.holds(); Thread.sleep(10)) {
            check(System.nanoTime() < end, what + " did not come true");
        }
    }

    private static void equal(Object got, Object want) {
        String a = canonical(got);
        String b = canonical(want);
        check(a.equals(b), "what came is " + shorten(a) + ", not " + shorten(b));
    }

    private static String shorten(String text) {
        return text.substring(0, Math.min(200, text.length()));
    }

    /** Writes a value as text, with the keys in order. */
    private static String canonical(Object value) {
        if (value instanceof byte[]) {
            return "bytes" + Arrays.toString((byte[]) value);
        }
        if (value instanceof Object[]) {
            return canonical(Arrays.asList((Object[]) value));
        }
        if (value instanceof JSONArray) {
            return canonical(list((JSONArray) value));
        }
        if (value instanceof List) {
            List<String> parts = new ArrayList<>();
            ((List<?>) value).forEach(v -> parts.add(canonical(v)));
            return parts.toString();
        }
        if (value instanceof JSONObject) {
            Map<String, String> sorted = new TreeMap<>();
            for (Iterator<?> keys = ((JSONObject) value).keys(); keys.hasNext(); ) {
                String key = (String) keys.next();
                sorted.put(key, canonical(((JSONObject) value).opt(key)));
            }
            return sorted.toString();
        }
        if (value instanceof Number) {
            return Double.toString(((Number) value).doubleValue());
        }
        return value instanceof String ? JSONObject.quote((String) value) : String.valueOf(value);
    }

    private static List<Object> list(JSONArray array) {
        List<Object> list = new ArrayList<>();
        for (int i = 0; i < array.length(); i++) {
            list.add(array.opt(i));
        }
        return list;
    }

    private static JSONObject object(Object... pairs) throws Exception {
        JSONObject object = new JSONObject();
        for (int i = 0; i < pairs.length; i += 2) {
            object.put((String) pairs[i], pairs[i + 1]);
        }
        return object;
    }

    private static JSONArray array(Object... values) {
        JSONArray array = new JSONArray();
        for (Object value : values) {
            array.put(value);
        }
        return array;
    }

    private static Object[] args(Object... args) {
        return args;
    }

    private static byte[] bytes(int... values) {
        byte[] bytes = new byte[values.length];
        for (int i = 0; i < values.length; i++) {
            bytes[i] = (byte) values[i];
        }
        return bytes;
    }

    private static Object[] texts() throws Exception {
        String first = "ünïcödé 漢字 🎉👩‍👩‍👧 \u2028 \u2029 \0 \36 \" \\ \n";
        return args(first, object("ключ 🗝", array("значение", "\ud7ff\ue000\udbff\udfff")));
    }

    private static String large() {
        return "0123456789".repeat(99_000);
    }

    /** Asks to be refused, and gives what the client was told. */
    private static Object refuse(World world, Map<String, String> auth) throws Exception {
        Client client = world.client("/custom", auth);
        List<Object[]> refused = client.hear(client.refusal());
        client.socket.connect();
        until("the refusal", () -> !refused.isEmpty());
        check(!client.socket.connected(), "it is connected");
        return refused.get(0)[0];
    }

    private static final Map<String, Feature> FEATURES = new LinkedHashMap<>();

    static {
        FEATURES.put("connect", world -> {
            Client client = world.connected();
            String last = world.transport.equals("polling") ? "polling" : "websocket";
            until("the transport " + last, () -> client.transport().equals(last));
            equal(client.ask("echo", 1), args(1));
        });
        FEATURES.put("auth", world -> {
            if (world.revision == 3) {
                Client main = world.connected("/", Map.of("token", "t"));
                String url = ((JSONObject) main.ask("handshake")[0]).getString("url");
                check((url + "&").matches(".*[?&]token=t&.*"), "the query is not in " + url);
                Client own = world.connected("/custom", Map.of("token", "own"));
                equal(((JSONObject) own.ask("handshake")[0]).get("auth"), object("token", "own"));
                return;
            }
            Client client = world.connected("/", Map.of("token", "t", "other", "ü"));
            JSONObject handshake = (JSONObject) client.ask("handshake")[0];
            equal(handshake.get("auth"), object("token", "t", "other", "ü"));
            equal(handshake.get("id"), client.socket.id());
        });
        FEATURES.put("arguments", world -> {
            Client client = world.connected();
            List<Object[]> heard = client.hear("reflected");
            Object[][] sent = {
                {},
                {1, "two", object("three", array(3, JSONObject.NULL, true, object("four", new JSONObject())))},
                {JSONObject.NULL, false, 3.5, -1e-7, 9007199254740991L},
            };
            for (Object[] args : sent) {
                client.socket.emit("reflect", args);
            }
            until("all events", () -> heard.size() == sent.length);
            equal(heard, sent);
        });
        FEATURES.put("server-ack", world -> {
            Client client = world.connected();
            for (Object[] args : new Object[][] {{}, {"one"}, {1, object("a", array(2)), "three"}}) {
                equal(client.ask("echo", args), args);
            }
        });
        FEATURES.put("client-ack", world -> {
            Client client = world.connected();
            client.socket.on("question", a -> ((Ack) a[2]).call(a[1], a[0], "and more"));
            equal(client.ask("ask", "x", object("y", 1)), args(object("y", 1), "x", "and more"));
        });
        FEATURES.put("binary", world -> {
            Client client = world.connected();
            byte[] all = new byte[256];
            for (int i = 0; i < all.length; i++) {
                all[i] = (byte) i;
            }
            // The client replaces bytes inside of what it is given, so each use has its own.
            Callable<Object[]> make = () -> args(
                object("deep", array(object("deeper", all, "name", "ü.bin"))), bytes(0), "between", array(all, object("last", bytes(255, 0))));
            equal(client.ask("echo", make.call()), make.call());
            List<Object[]> heard = client.hear("reflected");
            client.socket.emit("reflect", make.call());
            until("the event", () -> !heard.isEmpty());
            equal(heard.get(0), make.call());
            client.socket.on("question", a -> {
                try {
                    ((Ack) a[1]).call(object("got", a[0]), bytes(7));
                } catch (Exception e) {
                    throw new IllegalStateException(e);
                }
            });
            equal(client.ask("ask", object("value", all)), args(object("got", object("value", all)), bytes(7)));
        });
        FEATURES.put("unicode", world -> {
            Client client = world.connected();
            equal(client.ask("echo", texts()), texts());
            List<Object[]> heard = client.hear("reflected");
            client.socket.emit("reflect", texts());
            until("the event", () -> !heard.isEmpty());
            equal(heard.get(0), texts());
        });
        FEATURES.put("large", world -> {
            Client client = world.connected();
            check(large().equals(client.ask("echo", large())[0]), "another text came back");
            List<Object[]> heard = client.hear("reflected");
            client.socket.emit("reflect", large());
            until("the event", () -> !heard.isEmpty());
            check(large().equals(heard.get(0)[0]), "another text came back as an event");
            equal(client.ask("echo", "still here"), args("still here"));
        });
        FEATURES.put("concurrent-acks", world -> {
            Client client = world.connected();
            List<BlockingQueue<Object[]>> waits = new ArrayList<>();
            for (int i = 0; i < 100; i++) {
                waits.add(client.begin("echo", i, "text " + i));
            }
            for (int i = 0; i < 100; i++) {
                equal(take(waits.get(i)), args(i, "text " + i));
            }
        });
        FEATURES.put("volatile", world -> {
            Client client = world.connected();
            String room = "room " + UUID.randomUUID();
            String event = "volatile " + UUID.randomUUID();
            client.ask("join", room);
            List<Object[]> heard = client.hear(event);
            // It may be dropped whenever the transport is busy, and over polling it often is.
            until("a volatile event", () -> {
                JSONArray args = array("x", object("y", array(1)));
                client.ask("broadcast", object("event", event, "args", args, "to", array(room), "volatile", true));
                return !heard.isEmpty();
            });
            equal(heard.get(0), args("x", object("y", array(1))));
            equal(client.ask("echo", "after"), args("after"));
        });
        FEATURES.put("broadcast", world -> {
            Client one = world.connected();
            Client two = world.connected();
            String event = "all " + UUID.randomUUID();
            List<Object[]> first = one.hear(event);
            List<Object[]> second = two.hear(event);
            one.ask("broadcast", object("event", event, "args", array("to", object("all", true))));
            until("the broadcast at both", () -> !first.isEmpty() && !second.isEmpty());
            Object[] want = {args("to", object("all", true))};
            equal(args(first, second), args(want, want));
        });
        FEATURES.put("rooms", world -> {
            Client inside = world.connected();
            Client outside = world.connected();
            String room = "room " + UUID.randomUUID();
            String event = "event " + UUID.randomUUID();
            List<Object[]> heardInside = inside.hear(event);
            List<Object[]> heardOutside = outside.hear(event);
            inside.ask("join", room);
            outside.ask("broadcast", object("event", event, "args", array(1), "to", array(room)));
            until("the event in the room", () -> !heardInside.isEmpty());
            inside.ask("leave", room);
            outside.ask("broadcast", object("event", event, "args", array(2), "to", array(room)));
            // What came after the broadcast is here, so the broadcast would be too.
            inside.ask("echo");
            outside.ask("echo");
            equal(heardInside, new Object[][] {{1}});
            equal(heardOutside, args());
        });
        FEATURES.put("namespace", world -> {
            Client client = world.connected("/custom", Map.of());
            equal(client.ask("echo", "custom", object("a", 1)), args("custom", object("a", 1)));
        });
        FEATURES.put("namespaces", world -> {
            Client main = world.connected();
            Client custom = new Client(world, main.socket.io().socket("/custom"));
            custom.connect();
            List<BlockingQueue<Object[]>> waits = List.of(main.begin("echo", "main"), custom.begin("echo", "custom"), main.begin("echo", 2));
            List<Object> answers = new ArrayList<>();
            for (BlockingQueue<Object[]> wait : waits) {
                answers.add(take(wait));
            }
            equal(answers, new Object[][] {{"main"}, {"custom"}, {2}});
            check(!main.socket.id().equals(custom.socket.id()), "both sockets have the same id");
            custom.socket.disconnect();
            equal(main.ask("echo", "still here"), args("still here"));
        });
        FEATURES.put("refused", world -> {
            Object why = refuse(world, Map.of("refuse", "not today"));
            equal(why, world.revision == 3 ? "not today" : object("message", "not today"));
        });
        FEATURES.put("refused-data", world -> {
            Object why = refuse(world, Map.of("refuse", "not today", "code", "401"));
            equal(why, object("message", "not today", "data", object("code", "401")));
        });
        FEATURES.put("client-disconnect", world -> {
            Client watcher = world.connected();
            Client leaver = world.connected();
            List<Object[]> heard = watcher.hear("left");
            watcher.ask("join", "watchers");
            String id = ((JSONObject) leaver.ask("handshake")[0]).getString("id");
            leaver.socket.disconnect();
            until("the word of its leaving", () -> heard.stream().anyMatch(e -> e[0].equals(id)));
            Object reason = heard.stream().filter(e -> e[0].equals(id)).findFirst().orElseThrow()[1];
            check(reason.equals("client namespace disconnect"), "the handler was told " + reason);
        });
        FEATURES.put("server-disconnect", world -> {
            Client client = world.connected();
            List<Object[]> heard = client.hear("disconnect");
            client.socket.emit("kick", false);
            until("the end", () -> !heard.isEmpty());
            equal(heard.get(0), args("io server disconnect"));
            client.connect();
            equal(client.ask("echo", 1), args(1));
        });
        FEATURES.put("reconnect", world -> {
            Client client = world.connected();
            equal(client.ask("echo", 1), args(1));
            List<Object[]> lost = client.hear("disconnect");
            List<Object[]> back = client.hear("connect");
            // Between two polls there is nothing to cut.
            until("the loss", () -> {
                ask("POST", world.cut, "{}");
                Thread.sleep(200);
                return !lost.isEmpty();
            });
            until("the way back", () -> !back.isEmpty());
            equal(client.ask("echo", 2), args(2));
        });
    }
}
