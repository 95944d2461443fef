/*
 * The common workload on Flink: Java, DataStream API, Jackson. flink_common.py compiles and starts it.
 *
 *   FlinkCommon INPUT LOOKUP OUT WORKERS [CHECKPOINT_MS]
 *
 * What runs: a local cluster in this JVM with parallelism WORKERS; file source (one split a worker at a time) -> parse, look-up,
 * rules -> keyed by rule: dedup and storm limit by event time, in heap state -> file sink. CHECKPOINT_MS above 0 turns
 * exactly-once checkpoints to OUT/checkpoints on.
 */
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.time.Instant;
import java.util.*;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.*;
import org.apache.flink.api.common.serialization.SimpleStringEncoder;
import org.apache.flink.api.common.state.*;
import org.apache.flink.api.common.typeinfo.*;
import org.apache.flink.api.connector.source.*;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.file.sink.FileSink;
import org.apache.flink.connector.file.src.FileSource;
import org.apache.flink.connector.file.src.reader.StreamFormat;
import org.apache.flink.connector.file.src.util.CheckpointedPosition;
import org.apache.flink.core.fs.FSDataInputStream;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.annotation.*;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonProcessingException;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.*;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.MissingNode;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

public class FlinkCommon {
    static final long HOUR = 3_600_000;
    static final int LIMIT = 1_000;

    // The fields that rules and alerts ask for; Jackson skips the others. Parameters stay a tree: they differ by event name.
    public static class Event {
        public String eventTime, eventName, eventSource, eventType, sourceIPAddress, userAgent, errorCode, recipientAccountId, eventID;
        public Boolean readOnly;
        public Identity userIdentity = new Identity();
        public JsonNode requestParameters;
        public Answer responseElements;
        public Extra additionalEventData;
    }

    public static class Identity {
        public String type, arn, principalId, invokedBy, accountId;
        public Session sessionContext;
    }

    public static class Session { public Issuer sessionIssuer; }
    public static class Issuer { public String userName; }
    public static class Answer { @JsonProperty("ConsoleLogin") public JsonNode consoleLogin; }
    public static class Extra { @JsonProperty("MFAUsed") public JsonNode mfaUsed; }

    @JsonPropertyOrder({"rule", "principal", "ts", "ip", "country", "account", "eventID"})
    public static class Match {
        public String rule, principal;
        public long ts;
        public String ip, country, account, eventID;
    }

    record Place(String country, boolean tor) {}

    /** Parses an event, looks its address up, and gives a match for each rule that is true. */
    static class Rules extends RichFlatMapFunction<byte[], Match> {
        static final Pattern ASSUMED = Pattern.compile("arn:aws:iam::[0-9]{12}:role/(Admin|OrganizationAccountAccessRole|.*-break-glass)");
        static final Pattern DISTRO = Pattern.compile("kali|parrot|pentoo|pacu", Pattern.CASE_INSENSITIVE);
        static final Pattern TEMP = Pattern.compile("(temp|test|tmp)-[a-z0-9]{4,}");
        static final Set<String> DENIED = Set.of("AccessDenied", "UnauthorizedOperation", "Client.UnauthorizedOperation");
        static final Set<String> RISKY = Set.of("KP", "IR", "RU");
        static final Place NOWHERE = new Place(null, false);

        final String lookup;
        transient Map<String, Place> table;
        transient ObjectReader reader;

        Rules(String lookup) { this.lookup = lookup; }

        @Override
        public void open(OpenContext context) throws IOException {
            reader = new ObjectMapper().configure(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES, false).readerFor(Event.class);
            table = new HashMap<>();
            try (Stream<String> rows = Files.lines(Path.of(lookup))) {
                rows.skip(1).forEach(row -> {
                    String[] c = row.split(",");
                    table.put(c[0], new Place(c[1].intern(), c[3].equals("true")));
                });
            }
        }

        @Override
        public void flatMap(byte[] line, Collector<Match> out) throws IOException {
            Event e;
            long ts;
            try {
                e = reader.readValue(line);
                ts = Instant.parse(e.eventTime).toEpochMilli();
            } catch (JsonProcessingException | RuntimeException notAnEvent) {
                return;
            }
            Place at = e.sourceIPAddress == null ? NOWHERE : table.getOrDefault(e.sourceIPAddress, NOWHERE);
            long hits = check(e, at);
            for (; hits != 0; hits &= hits - 1) {
                int n = Long.numberOfTrailingZeros(hits);
                Match m = new Match();
                m.rule = n < 10 ? "R0" + n : "R" + n;
                Identity who = e.userIdentity;
                m.principal = who.arn != null ? who.arn : who.principalId != null ? who.principalId : who.invokedBy;
                m.ts = ts;
                m.ip = e.sourceIPAddress;
                m.country = at.country();
                m.account = e.recipientAccountId;
                m.eventID = e.eventID;
                out.collect(m);
            }
        }

        /** Bit n is set where rule n is true. A switch over the name comes first: most rules ask for one. */
        static long check(Event e, Place at) {
            Identity who = e.userIdentity;
            String name = e.eventName == null ? "" : e.eventName;
            boolean writes = Boolean.FALSE.equals(e.readOnly), user = "IAMUser".equals(who.type), root = "Root".equals(who.type);
            JsonNode p = e.requestParameters == null ? MissingNode.getInstance() : e.requestParameters;
            long h = 0;
            switch (name) {
                case "ConsoleLogin" -> {
                    String answer = e.responseElements == null ? "" : text(e.responseElements.consoleLogin);
                    String mfa = e.additionalEventData == null ? "" : text(e.additionalEventData.mfaUsed);
                    h |= bit(1, root) | bit(2, mfa.equals("No") && answer.equals("Success")) | bit(3, answer.equals("Failure"));
                }
                case "StopLogging", "DeleteTrail", "UpdateTrail", "PutEventSelectors" -> h |= bit(5, "cloudtrail.amazonaws.com".equals(e.eventSource));
                case "CreateAccessKey" -> h |= bit(6, e.errorCode == null && p.hasNonNull("userName"));
                case "AttachUserPolicy", "AttachRolePolicy", "AttachGroupPolicy" ->
                    h |= bit(7, text(p.path("policyArn")).equals("arn:aws:iam::aws:policy/AdministratorAccess"));
                case "AuthorizeSecurityGroupIngress" -> h |= bit(8, text(p.path("ipPermissions").path("items").path(0)
                    .path("ipRanges").path("items").path(0).path("cidrIp")).equals("0.0.0.0/0"));
                case "PutBucketAcl", "PutBucketPolicy" -> h |= bit(9, text(p.path("acl")).startsWith("public-read"));
                case "DisableKey", "ScheduleKeyDeletion" -> h |= bit(10, "kms.amazonaws.com".equals(e.eventSource));
                case "GetSecretValue" -> h |= bit(11, at.tor());
                case "AssumeRole" -> h |= bit(12, who.accountId != null && e.recipientAccountId != null
                    && !who.accountId.equals(e.recipientAccountId) && ASSUMED.matcher(text(p.path("roleArn"))).matches());
                case "DeleteDetector", "UpdateDetector", "StopMonitoringMembers" -> h |= bit(15, "guardduty.amazonaws.com".equals(e.eventSource));
                case "ModifyInstanceAttribute" -> h |= bit(16, p.hasNonNull("userData"));
                case "ModifySnapshotAttribute" -> h |= bit(17, text(p.path("createVolumePermission").path("add").path("items").path(0)
                    .path("group")).equals("all"));
                default -> { }
            }
            h |= bit(4, root && who.invokedBy == null && e.eventType != null && !e.eventType.equals("AwsServiceEvent"));
            h |= bit(13, e.userAgent != null && DISTRO.matcher(e.userAgent).find());
            h |= bit(14, user && e.errorCode != null && DENIED.contains(e.errorCode)
                && (name.startsWith("List") || name.startsWith("Describe") || name.startsWith("Get")));
            h |= bit(18, name.startsWith("UpdateFunctionCode") && at.country() != null && RISKY.contains(at.country()));
            h |= bit(19, at.tor() && writes && user);
            Issuer issuer = who.sessionContext == null ? null : who.sessionContext.sessionIssuer;
            h |= bit(20, writes && issuer != null && issuer.userName != null && e.sourceIPAddress != null
                && !e.sourceIPAddress.startsWith("10.") && TEMP.matcher(issuer.userName).matches());
            return h;
        }

        static long bit(int rule, boolean hit) { return hit ? 1L << rule : 0; }

        static String text(JsonNode node) { return node != null && node.isTextual() ? node.textValue() : ""; }
    }

    /** Of one rule: the match that opened the window of each principal, and the window of the storm limit (start, count). */
    static class DedupAndLimit extends KeyedProcessFunction<String, Match, String> {
        transient MapState<String, Long> opened;
        transient ValueState<long[]> window;
        transient ObjectWriter writer;

        @Override
        public void open(OpenContext context) {
            opened = getRuntimeContext().getMapState(new MapStateDescriptor<>("opened", Types.STRING, Types.LONG));
            window = getRuntimeContext().getState(new ValueStateDescriptor<>("window", PrimitiveArrayTypeInfo.LONG_PRIMITIVE_ARRAY_TYPE_INFO));
            writer = new ObjectMapper().writerFor(Match.class);
        }

        @Override
        public void processElement(Match m, Context context, Collector<String> out) throws Exception {
            String who = m.principal == null ? "" : m.principal;
            Long first = opened.get(who);
            if (first != null && m.ts - first < HOUR) return;
            opened.put(who, m.ts);
            long[] w = window.value();
            if (w == null || m.ts - w[0] >= HOUR) w = new long[] {m.ts, 0};
            w = new long[] {w[0], w[1] + 1};
            window.update(w);
            if (w[1] <= LIMIT) out.collect(writer.writeValueAsString(m));
        }
    }

    /** Lines as bytes: Jackson decodes them itself. A line belongs to the split that its first byte is in. */
    static class Lines implements StreamFormat<byte[]> {
        final boolean split;

        Lines(boolean split) { this.split = split; }

        @Override public boolean isSplittable() { return split; }
        @Override public TypeInformation<byte[]> getProducedType() { return PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO; }

        @Override
        public Reader<byte[]> createReader(Configuration c, FSDataInputStream in, long length, long end) throws IOException {
            long start = in.getPos();
            if (start == 0) return new LineReader(in, 0, end);
            in.seek(start - 1);
            LineReader r = new LineReader(in, start - 1, end);
            r.read(); // the rest of a line that began before
            return r;
        }

        @Override
        public Reader<byte[]> restoreReader(Configuration c, FSDataInputStream in, long offset, long length, long end) throws IOException {
            in.seek(offset);
            return new LineReader(in, offset, end);
        }
    }

    static class LineReader implements StreamFormat.Reader<byte[]> {
        final FSDataInputStream in;
        final long end;
        byte[] buffer = new byte[1 << 17];
        int begin, filled;
        long position; // of buffer[begin] in the file

        LineReader(FSDataInputStream in, long position, long end) {
            this.in = in;
            this.position = position;
            this.end = end;
        }

        @Override
        public byte[] read() throws IOException {
            if (position >= end) return null;
            for (int i = begin; ; i++) {
                if (i == filled) {
                    int kept = filled - begin;
                    byte[] to = kept > buffer.length / 2 ? new byte[buffer.length * 2] : buffer;
                    System.arraycopy(buffer, begin, to, 0, kept);
                    buffer = to;
                    begin = 0;
                    i = filled = kept;
                    int n = in.read(buffer, filled, buffer.length - filled);
                    if (n < 0) return kept == 0 ? null : take(filled, 0);
                    filled += n;
                }
                if (buffer[i] == '\n') return take(i, 1);
            }
        }

        byte[] take(int to, int newline) {
            byte[] line = Arrays.copyOfRange(buffer, begin, to);
            position += line.length + newline;
            begin = to + newline;
            return line;
        }

        @Override public CheckpointedPosition getCheckpointedPosition() { return new CheckpointedPosition(position, 0); }
        @Override public void close() throws IOException { in.close(); }
    }

    public static void main(String[] args) throws Exception {
        Path out = Path.of(args[2]).toAbsolutePath(), parts = out.resolve("parts");
        int workers = Integer.parseInt(args[3]);
        long every = args.length > 4 ? Long.parseLong(args[4]) : 0;
        Configuration conf = new Configuration();
        conf.setString("pipeline.object-reuse", "true");
        conf.setString("rest.port", "0");
        conf.setString("execution.checkpointing.storage", "filesystem");
        conf.setString("execution.checkpointing.dir", out.resolve("checkpoints").toUri().toString());
        StreamExecutionEnvironment env = StreamExecutionEnvironment.createLocalEnvironment(workers, conf);
        if (every > 0) env.enableCheckpointing(every); // exactly once is the default

        var input = new org.apache.flink.core.fs.Path(Path.of(args[0]).toUri());
        FileSource<byte[]> source = FileSource.forRecordStreamFormat(new Lines(workers > 1), input).build();
        env.fromSource(source, WatermarkStrategy.noWatermarks(), "events")
            .flatMap(new Rules(args[1])).returns(Match.class)
            .keyBy(m -> m.rule)
            .process(new DedupAndLimit())
            .sinkTo(FileSink.forRowFormat(new org.apache.flink.core.fs.Path(parts.toUri()), new SimpleStringEncoder<String>()).build())
            .setParallelism(1);
        env.execute("common");

        // The sink's parts, in their order, as one file.
        List<Path> files;
        try (Stream<Path> found = Files.walk(parts)) {
            files = found.filter(Files::isRegularFile).sorted(Comparator
                .comparing(Path::getParent) // one folder for each hour of the clock
                .thenComparingInt(p -> p.getFileName().toString().length()).thenComparing(Path::toString)).toList();
        }
        try (OutputStream all = new BufferedOutputStream(Files.newOutputStream(out.resolve("alerts.jsonl")))) {
            for (Path f : files) {
                if (f.getFileName().toString().startsWith(".")) throw new IOException("not committed: " + f);
                Files.copy(f, all);
            }
        }
    }
}
