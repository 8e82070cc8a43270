// go-ds-crdt beside crdtkv's Datastore: benchmarks/datastore.py builds and starts this, where Go is.
//
//	go-ds-crdt puts|live|versions N [sync]      prints the figures as JSON: seconds by the clock, bytes
//
// Keys and values as in benchmarks/datastore_cases.py, batches of 1,000. Blocks, heads and sets lie in one Pebble store
// as its users have them, whose writes are not synced, which is less than the others here promise; with `sync` each is.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"math/rand"
	"os"
	"path/filepath"
	"strconv"
	"time"

	pebbledb "github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	crdt "github.com/ipfs/go-ds-crdt"
	pebble "github.com/ipfs/go-ds-pebble"
	ipld "github.com/ipfs/go-ipld-format"
)

const batch = 1000

var (
	ctx     = context.Background()
	durably = pebbledb.NoSync
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// The network: what one replica says is heard by the other ones, and a block that is not here is at one of them.
type link struct {
	ears []chan []byte
	own  chan []byte
}

func (l *link) Broadcast(_ context.Context, data []byte) error {
	for _, ear := range l.ears {
		if ear != l.own {
			ear <- data
		}
	}
	return nil
}

func (l *link) Next(ctx context.Context) ([]byte, error) {
	select {
	case data := <-l.own:
		return data, nil
	case <-ctx.Done():
		return nil, crdt.ErrNoMoreBroadcast
	}
}

type blocks struct {
	ipld.DAGService
	others []ipld.DAGService
}

func (b *blocks) Get(ctx context.Context, c cid.Cid) (ipld.Node, error) {
	node, err := b.DAGService.Get(ctx, c)
	if err == nil || !ipld.IsNotFound(err) {
		return node, err
	}
	for _, other := range b.others {
		if node, err = other.Get(ctx, c); err == nil {
			return node, b.DAGService.Add(ctx, node)
		}
	}
	return nil, err
}

func (b *blocks) GetMany(ctx context.Context, cids []cid.Cid) <-chan *ipld.NodeOption {
	out := make(chan *ipld.NodeOption, len(cids))
	for _, c := range cids {
		node, err := b.Get(ctx, c)
		out <- &ipld.NodeOption{Node: node, Err: err}
	}
	close(out)
	return out
}

type replica struct {
	*crdt.Datastore
	disk *pebble.Datastore
}

func replicas(folder string, n int) []replica {
	out := make([]replica, n)
	links, services := make([]*link, n), make([]*blocks, n)
	ears := make([]chan []byte, n)
	for i := range out {
		disk, err := pebble.NewDatastore(filepath.Join(folder, strconv.Itoa(i)), pebble.WithPebbleWriteOptions(durably))
		must(err)
		out[i].disk = disk
		ears[i] = make(chan []byte, 1<<16)
		service := merkledag.NewDAGService(blockservice.New(blockstore.NewBlockstore(disk), nil))
		services[i] = &blocks{DAGService: service}
	}
	for i := range out {
		for k := range out {
			if k != i {
				services[i].others = append(services[i].others, services[k].DAGService)
			}
		}
		links[i] = &link{ears, ears[i]}
		made, err := crdt.New(out[i].disk, ds.NewKey("crdt"), services[i], links[i], crdt.DefaultOptions())
		must(err)
		out[i].Datastore = made
	}
	return out
}

func (r replica) close() {
	must(r.Sync(ctx, ds.NewKey("/")))
	must(r.Datastore.Close())
	must(r.disk.Close())
}

type pair struct {
	key   ds.Key
	value []byte
}

func madeUp(n int) []pair {
	rng := rand.New(rand.NewSource(1))
	out := make([]pair, n)
	for i := range out {
		value := make([]byte, 100)
		rng.Read(value)
		out[i] = pair{ds.NewKey(fmt.Sprintf("%d%015x", i%10, rng.Int63n(1<<60))), value}
	}
	return out
}

func put(r replica, pairs []pair) {
	for len(pairs) > 0 {
		b, err := r.Batch(ctx)
		must(err)
		for _, p := range pairs[:min(batch, len(pairs))] {
			must(b.Put(ctx, p.key, p.value))
		}
		must(b.Commit(ctx))
		pairs = pairs[min(batch, len(pairs)):]
	}
}

func count(r replica, prefix string) int {
	results, err := r.Query(ctx, query.Query{Prefix: prefix})
	must(err)
	n := 0
	for range results.Next() {
		n++
	}
	must(results.Close())
	return n
}

func size(folder string) (n int64) {
	must(filepath.Walk(folder, func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			n += info.Size()
		}
		return err
	}))
	return n
}

func puts(folder string, n int) map[string]float64 {
	pairs := madeUp(n)
	r := replicas(folder, 1)[0]
	began := time.Now()
	put(r, pairs)
	out := map[string]float64{"batched": time.Since(began).Seconds() / float64(n)}
	order := rand.New(rand.NewSource(2)).Perm(n)[:min(n, 50_000)]
	began = time.Now()
	for _, i := range order {
		_, err := r.Get(ctx, pairs[i].key)
		must(err)
	}
	out["get"] = time.Since(began).Seconds() / float64(len(order))
	r.close()
	out["bytes"] = float64(size(folder)) / float64(n)
	return out
}

// Until the second replica has what the first one was given.
func live(folder string, n int) map[string]float64 {
	pairs := madeUp(n)
	both := replicas(folder, 2)
	began := time.Now()
	put(both[0], pairs)
	for range pairs {
		if has, err := both[1].Has(ctx, pairs[n-1].key); err == nil && has {
			break
		}
		time.Sleep(time.Millisecond)
	}
	heads := func(r replica) string { return fmt.Sprint(r.InternalStats(ctx).Heads) }
	for heads(both[0]) != heads(both[1]) || both[1].InternalStats(ctx).QueuedJobs > 0 {
		time.Sleep(time.Millisecond)
	}
	out := map[string]float64{"live": time.Since(began).Seconds() / float64(n)}
	if found := count(both[1], "/"); found != n {
		log.Fatalf("the second replica has %d of %d keys", found, n)
	}
	both[0].close()
	both[1].close()
	return out
}

// One delete of a key that was put n times: each is a version here, concurrent or not.
func versions(folder string, n int) map[string]float64 {
	r := replicas(folder, 1)[0]
	key := ds.NewKey("key")
	for i := range n {
		must(r.Put(ctx, key, []byte(strconv.Itoa(i))))
	}
	began := time.Now()
	must(r.Delete(ctx, key))
	out := map[string]float64{"delete": time.Since(began).Seconds()}
	if has, err := r.Has(ctx, key); err != nil || has {
		log.Fatal("the key is still there")
	}
	r.close()
	return out
}

func main() {
	cases := map[string]func(string, int) map[string]float64{"puts": puts, "live": live, "versions": versions}
	synced := len(os.Args) == 4 && os.Args[3] == "sync"
	if (len(os.Args) != 3 && !synced) || cases[os.Args[1]] == nil {
		log.Fatal("go-ds-crdt puts|live|versions N [sync]")
	}
	if synced {
		durably = pebbledb.Sync
	}
	n, err := strconv.Atoi(os.Args[2])
	must(err)
	folder, err := os.MkdirTemp("", "go-ds-crdt-")
	must(err)
	defer os.RemoveAll(folder)
	must(json.NewEncoder(os.Stdout).Encode(cases[os.Args[1]](folder, n)))
}
