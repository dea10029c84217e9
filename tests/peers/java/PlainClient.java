import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The Java client as an application uses it, for records that no console tool can carry:
 *
 * <pre>
 * produce BOOTSTRAP TOPIC CODEC           records from stdin, to partition 0, all acknowledged
 * consume BOOTSTRAP TOPIC COUNT           the first records of partition 0
 * since BOOTSTRAP TOPIC COUNT TIME_MS     from where offsetsForTimes says
 * group BOOTSTRAP TOPIC COUNT GROUP       as a member; commits what it has read
 * </pre>
 *
 * A record is a line of tab-separated fields: timestamp, key, value, then a name and a value for each
 * header; all but the timestamp in base64, null as "-".
 */
public final class PlainClient {
    private static final Duration TIMEOUT = Duration.ofSeconds(30);
    private static final String NULL = "-";

    public static void main(String[] args) throws Exception {
        String topic = args[2];
        if (args[0].equals("produce")) {
            produce(args[1], topic, args[3]);
            return;
        }
        int count = Integer.parseInt(args[3]);
        String group = args[0].equals("group") ? args[4] : null;
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(args[1], group)) {
            TopicPartition partition = new TopicPartition(topic, 0);
            if (group != null) {
                consumer.subscribe(List.of(topic));
            } else {
                consumer.assign(List.of(partition));
                consumer.seekToBeginning(List.of(partition));
            }
            if (args[0].equals("since")) {
                long time = Long.parseLong(args[4]);
                consumer.seek(
                        partition, consumer.offsetsForTimes(Map.of(partition, time)).get(partition).offset());
            }
            Map<TopicPartition, OffsetAndMetadata> read = new HashMap<>();
            for (ConsumerRecord<byte[], byte[]> record : read(consumer, count)) {
                System.out.println(line(record));
                read.put(
                        new TopicPartition(record.topic(), record.partition()),
                        new OffsetAndMetadata(record.offset() + 1));
            }
            if (group != null) {
                consumer.commitSync(read, TIMEOUT);
            }
        }
    }

    private static void produce(String bootstrap, String topic, String codec) throws Exception {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("compression.type", codec);
        config.put("linger.ms", 50);
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            BufferedReader in =
                    new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                sent.add(producer.send(record(topic, line.split("\t", -1))));
            }
            producer.flush();
            for (Future<RecordMetadata> one : sent) {
                one.get();
            }
        }
    }

    private static KafkaConsumer<byte[], byte[]> consumer(String bootstrap, String group) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("enable.auto.commit", false);
        config.put("auto.offset.reset", "earliest");
        if (group != null) {
            config.put("group.id", group);
        }
        return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static List<ConsumerRecord<byte[], byte[]>> read(
            KafkaConsumer<byte[], byte[]> consumer, int count) throws TimeoutException {
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        long deadline = System.nanoTime() + TIMEOUT.toNanos();
        while (records.size() < count) {
            if (System.nanoTime() > deadline) {
                throw new TimeoutException(records.size() + " of " + count + " records in time");
            }
            consumer.poll(Duration.ofMillis(200)).forEach(records::add);
        }
        return records.subList(0, count);
    }

    private static ProducerRecord<byte[], byte[]> record(String topic, String[] fields) {
        List<Header> headers = new ArrayList<>();
        for (int i = 3; i < fields.length; i += 2) {
            String name = new String(bytes(fields[i]), StandardCharsets.UTF_8);
            headers.add(new RecordHeader(name, bytes(fields[i + 1])));
        }
        Long timestamp = fields[0].equals(NULL) ? null : Long.valueOf(fields[0]);
        return new ProducerRecord<>(topic, 0, timestamp, bytes(fields[1]), bytes(fields[2]), headers);
    }

    private static String line(ConsumerRecord<byte[], byte[]> record) {
        StringBuilder line = new StringBuilder(Long.toString(record.timestamp()));
        line.append('\t').append(text(record.key())).append('\t').append(text(record.value()));
        for (Header header : record.headers()) {
            line.append('\t').append(text(header.key().getBytes(StandardCharsets.UTF_8)));
            line.append('\t').append(text(header.value()));
        }
        return line.toString();
    }

    private static byte[] bytes(String text) {
        return text.equals(NULL) ? null : Base64.getDecoder().decode(text);
    }

    private static String text(byte[] data) {
        return data == null ? NULL : Base64.getEncoder().encodeToString(data);
    }
}
