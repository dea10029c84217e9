import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Transactional producers, by lines on stdin; each is answered by a line on stdout.
 *
 * <pre>
 * init NAME ID TIMEOUT_MS                          makes a producer
 * begin NAME | commit NAME | abort NAME | close NAME
 * send NAME TOPIC PARTITION VALUE                  waits for the acknowledgement
 * offsets NAME GROUP TOPIC PARTITION OFFSET
 * read TOPIC PARTITION                             what read_committed sees, up to its end
 * </pre>
 *
 * The answer is "ok", with what was read, or "error" and the exception's class.
 */
public final class TransactionClient {
    private static final Duration TIMEOUT = Duration.ofSeconds(30);

    private final String bootstrap;
    private final Map<String, KafkaProducer<String, String>> producers = new HashMap<>();

    private TransactionClient(String bootstrap) {
        this.bootstrap = bootstrap;
    }

    public static void main(String[] args) throws Exception {
        TransactionClient client = new TransactionClient(args[0]);
        BufferedReader lines =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String answer;
            try {
                answer = ("ok " + client.handle(line.split(" "))).trim();
            } catch (ExecutionException error) {
                answer = "error " + error.getCause().getClass().getSimpleName();
            } catch (Exception error) {
                answer = "error " + error.getClass().getSimpleName();
            }
            System.out.println(answer);
            System.out.flush();
        }
        System.exit(0); // without waiting for producers that a test has abandoned
    }

    private String handle(String[] words) throws Exception {
        if (words[0].equals("init")) {
            init(words[1], words[2], words[3]);
            return "";
        }
        if (words[0].equals("read")) {
            return String.join(" ", read(new TopicPartition(words[1], Integer.parseInt(words[2]))));
        }
        KafkaProducer<String, String> producer = producers.get(words[1]);
        switch (words[0]) {
            case "begin" -> producer.beginTransaction();
            case "commit" -> producer.commitTransaction();
            case "abort" -> producer.abortTransaction();
            case "close" -> producers.remove(words[1]).close(TIMEOUT);
            case "send" ->
                producer.send(
                                new ProducerRecord<>(
                                        words[2], Integer.parseInt(words[3]), null, words[4]))
                        .get();
            case "offsets" ->
                producer.sendOffsetsToTransaction(
                        Map.of(
                                new TopicPartition(words[3], Integer.parseInt(words[4])),
                                new OffsetAndMetadata(Long.parseLong(words[5]))),
                        new ConsumerGroupMetadata(words[2]));
            default -> throw new IllegalArgumentException(words[0]);
        }
        return "";
    }

    private void init(String name, String id, String timeoutMs) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("transactional.id", id);
        config.put("transaction.timeout.ms", timeoutMs);
        config.put("max.block.ms", 30_000);
        KafkaProducer<String, String> producer =
                new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
        producers.put(name, producer);
        producer.initTransactions();
    }

    private List<String> read(TopicPartition partition) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("isolation.level", "read_committed");
        List<String> values = new ArrayList<>();
        try (KafkaConsumer<String, String> consumer =
                new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            long end = consumer.endOffsets(List.of(partition)).get(partition);
            while (consumer.position(partition) < end) {
                for (ConsumerRecord<String, String> record : consumer.poll(TIMEOUT)) {
                    values.add(record.value());
                }
            }
        }
        return values;
    }
}
