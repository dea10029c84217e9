// A client of the tests, with franz-go: JSON lines in, JSON lines out.
//
//	franz produce BOOTSTRAP TOPIC CODEC           records on stdin, to partition 0
//	franz consume BOOTSTRAP TOPIC COUNT           the first records of partition 0
//	franz since BOOTSTRAP TOPIC COUNT TIMESTAMP   the first records not older
//	franz group BOOTSTRAP TOPIC COUNT GROUP       as a member; commits and leaves
//	franz member BOOTSTRAP TOPIC GROUP TIMEOUT    until SIGTERM; prints events, see members/events.py
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// record is one line; []byte becomes base64, nil becomes null.
type record struct {
	Key         []byte   `json:"key"`
	Value       []byte   `json:"value"`
	Headers     []header `json:"headers"`
	TimestampMs int64    `json:"timestamp_ms"`
}

type header struct {
	Name  string `json:"name"`
	Value []byte `json:"value"`
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func client(bootstrap string, options ...kgo.Opt) *kgo.Client {
	made, err := kgo.NewClient(append(options, kgo.SeedBrokers(bootstrap))...)
	check(err)
	return made
}

func produce(ctx context.Context, bootstrap, topic, codecName string) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	producer := client(bootstrap, kgo.ProducerBatchCompression(codecs[codecName]),
		kgo.ProducerLinger(50*time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer producer.Close()
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var line record
		check(json.Unmarshal(lines.Bytes(), &line))
		sent := &kgo.Record{Topic: topic, Key: line.Key, Value: line.Value,
			Timestamp: time.UnixMilli(line.TimestampMs)}
		for _, h := range line.Headers {
			sent.Headers = append(sent.Headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
		}
		producer.Produce(ctx, sent, func(_ *kgo.Record, err error) { check(err) })
	}
	check(lines.Err())
	check(producer.Flush(ctx))
}

// read prints the next count records, and commits after each poll when there is a group.
func read(ctx context.Context, consumer *kgo.Client, count int, commit bool) {
	defer consumer.Close()
	out := json.NewEncoder(os.Stdout)
	for left := count; left > 0; {
		fetches := consumer.PollRecords(ctx, left)
		check(fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			line := record{Key: r.Key, Value: r.Value, TimestampMs: r.Timestamp.UnixMilli()}
			for _, h := range r.Headers {
				line.Headers = append(line.Headers, header{h.Key, h.Value})
			}
			check(out.Encode(line))
			left--
		})
		if commit {
			check(consumer.CommitUncommittedOffsets(ctx))
		}
	}
}

func consumeFrom(bootstrap, topic string, offset kgo.Offset) *kgo.Client {
	return client(bootstrap, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: offset}}))
}

func groupOptions(topic, group string) []kgo.Opt {
	return []kgo.Opt{kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
}

// member reads until it is told to stop. With cooperative balancing an assignment names only what
// is new, so what is owned is kept here.
func member(ctx context.Context, bootstrap, topic, group string, timeout time.Duration) {
	ctx, cancel := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer cancel()
	var lock sync.Mutex
	owned := map[int32]bool{}
	change := func(partitions map[string][]int32, has bool) {
		lock.Lock()
		defer lock.Unlock()
		for _, partition := range partitions[topic] {
			if has {
				owned[partition] = true
			} else {
				delete(owned, partition)
			}
		}
		list := []int32{}
		for partition := range owned {
			list = append(list, partition)
		}
		check(json.NewEncoder(os.Stdout).Encode(map[string][]int32{"assigned": list}))
	}
	gained := func(_ context.Context, _ *kgo.Client, p map[string][]int32) { change(p, true) }
	lost := func(_ context.Context, _ *kgo.Client, p map[string][]int32) { change(p, false) }
	options := append(groupOptions(topic, group), kgo.SessionTimeout(timeout),
		kgo.HeartbeatInterval(timeout/6), kgo.OnPartitionsAssigned(gained),
		kgo.OnPartitionsRevoked(lost), kgo.OnPartitionsLost(lost))
	consumer := client(bootstrap, options...)
	defer consumer.Close()
	for ctx.Err() == nil {
		fetches := consumer.PollFetches(ctx)
		lock.Lock()
		fetches.EachRecord(func(r *kgo.Record) {
			check(json.NewEncoder(os.Stdout).Encode(map[string]string{"value": string(r.Value)}))
		})
		lock.Unlock()
		if err := consumer.CommitUncommittedOffsets(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "commit:", err) // a rebalance is under way
		}
	}
}

func main() {
	ctx := context.Background()
	command, bootstrap, topic, args := os.Args[1], os.Args[2], os.Args[3], os.Args[4:]
	number := func(i int) int64 {
		n, err := strconv.ParseInt(args[i], 10, 64)
		check(err)
		return n
	}
	switch command {
	case "produce":
		produce(ctx, bootstrap, topic, args[0])
	case "consume":
		read(ctx, consumeFrom(bootstrap, topic, kgo.NewOffset().AtStart()), int(number(0)), false)
	case "since":
		read(ctx, consumeFrom(bootstrap, topic, kgo.NewOffset().AfterMilli(number(1))), int(number(0)), false)
	case "group":
		read(ctx, client(bootstrap, groupOptions(topic, args[1])...), int(number(0)), true)
	case "member":
		member(ctx, bootstrap, topic, args[0], time.Duration(number(1))*time.Millisecond)
	}
}
