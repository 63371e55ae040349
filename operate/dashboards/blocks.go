// Writes generated series into TSDB blocks, as fast as chunks can be encoded.
//
// promtool's and the TSDB's own ways go through a head block with its index and its log, which takes hours for a
// month of a large exchange. Here chunks are encoded and written one after the other, and an index over them.
//
// Standard input is one JSON object a line: first the history, then its series. The argument is the data directory.
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"sync"
	"time"

	"github.com/oklog/ulid"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
)

// Prometheus cuts a chunk after as many samples.
const chunkSamples = 120

// history is the time from Start until before End, in blocks of Block; all in milliseconds.
type history struct {
	Start, End, Block int64
}

// series has a sample each Interval at Level + Slope * seconds + Noise * u, u being chance from 0 to 1.
//
// A counter that grows by what it should in the mean, and never falls, has Slope * Interval as its Noise. Series of
// one Seed have the same u at the same sample. Digits are decimals, below 0 for all of them. A series with Every is
// there for Lasts of each Every milliseconds.
type series struct {
	Labels          map[string]string
	Interval, Phase int64
	Level           float64
	Slope, Noise    float64
	Digits          int
	Seed            uint64
	Every, Lasts    int64
	lset            labels.Labels
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(directory string) error {
	span, all, err := read()
	if err != nil {
		return err
	}
	var starts []int64
	for at := span.Start - span.Start%span.Block; at < span.End; at += span.Block {
		starts = append(starts, at)
	}
	var (
		began   = time.Now()
		next    = make(chan int64)
		results = make(chan error)
		group   sync.WaitGroup
	)
	for worker := 0; worker < runtime.NumCPU(); worker++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for at := range next {
				results <- write(directory, all, max(at, span.Start), min(at+span.Block, span.End), span.Start)
			}
		}()
	}
	go func() {
		for _, at := range starts {
			next <- at
		}
		close(next)
		group.Wait()
		close(results)
	}()
	done := 0
	for failure := range results {
		if failure != nil {
			return failure
		}
		done++
		if len(starts) > 1 {
			fmt.Printf("  block %d of %d, %.0f s\n", done, len(starts), time.Since(began).Seconds())
		}
	}
	return nil
}

func read() (history, []*series, error) {
	input := json.NewDecoder(bufio.NewReaderSize(os.Stdin, 1<<20))
	var span history
	if err := input.Decode(&span); err != nil {
		return span, nil, err
	}
	var all []*series
	for input.More() {
		one := &series{}
		if err := input.Decode(one); err != nil {
			return span, nil, err
		}
		one.lset = labels.FromMap(one.Labels)
		all = append(all, one)
	}
	sort.Slice(all, func(i, j int) bool { return labels.Compare(all[i].lset, all[j].lset) < 0 })
	return span, all, nil
}

// write makes the block from start until before end; origin is where the history begins.
func write(directory string, all []*series, start, end, origin int64) (err error) {
	id := ulid.MustNew(ulid.Now(), rand.Reader)
	place := filepath.Join(directory, id.String())
	if err := os.MkdirAll(place, 0o755); err != nil {
		return err
	}
	data, err := chunks.NewWriter(filepath.Join(place, "chunks"))
	if err != nil {
		return err
	}
	catalog, err := index.NewWriter(context.Background(), filepath.Join(place, "index"))
	if err != nil {
		return err
	}
	for _, symbol := range symbols(all) {
		if err := catalog.AddSymbol(symbol); err != nil {
			return err
		}
	}
	stats := tsdb.BlockStats{}
	for number, one := range all {
		metas, count, err := encode(one, start, end, origin)
		if err != nil {
			return err
		}
		if count == 0 {
			continue
		}
		if err := data.WriteChunks(metas...); err != nil {
			return err
		}
		if err := catalog.AddSeries(storage.SeriesRef(number), one.lset, metas...); err != nil {
			return fmt.Errorf("%s: %w", one.lset, err)
		}
		stats.NumSeries++
		stats.NumSamples += count
		stats.NumChunks += uint64(len(metas))
	}
	if err := data.Close(); err != nil {
		return err
	}
	if err := catalog.Close(); err != nil {
		return err
	}
	// What says that the block is complete comes last.
	text, err := json.Marshal(tsdb.BlockMeta{
		ULID: id, MinTime: start, MaxTime: end, Stats: stats, Version: 1,
		Compaction: tsdb.BlockMetaCompaction{Level: 1, Sources: []ulid.ULID{id}},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(place, "meta.json"), text, 0o644)
}

func symbols(all []*series) []string {
	seen := map[string]struct{}{}
	for _, one := range all {
		for name, value := range one.Labels {
			seen[name], seen[value] = struct{}{}, struct{}{}
		}
	}
	found := make([]string, 0, len(seen))
	for symbol := range seen {
		found = append(found, symbol)
	}
	sort.Strings(found)
	return found
}

// encode gives the samples of one series as chunks, and how many samples there are.
func encode(one *series, start, end, origin int64) ([]chunks.Meta, uint64, error) {
	var (
		metas    []chunks.Meta
		chunk    *chunkenc.XORChunk
		appender chunkenc.Appender
		count    uint64
		scale    = math.Pow10(one.Digits)
	)
	// The number of the first sample of this block, counted from the origin.
	step := max(0, (start-origin-one.Phase+one.Interval-1)/one.Interval)
	for at := origin + one.Phase + step*one.Interval; at < end; at, step = at+one.Interval, step+1 {
		if one.Every > 0 && (at-origin+one.Phase)%one.Every >= one.Lasts {
			continue
		}
		value := one.Level + one.Slope*float64(at-origin)/1000
		if one.Noise != 0 {
			value += one.Noise * chance(one.Seed+uint64(step))
		}
		if one.Digits >= 0 {
			value = math.Round(value*scale) / scale
		}
		if chunk == nil || chunk.NumSamples() >= chunkSamples {
			chunk = chunkenc.NewXORChunk()
			metas = append(metas, chunks.Meta{Chunk: chunk, MinTime: at})
			var err error
			if appender, err = chunk.Appender(); err != nil {
				return nil, 0, err
			}
		}
		appender.Append(at, value)
		metas[len(metas)-1].MaxTime = at
		count++
	}
	return metas, count, nil
}

// chance is splitmix64's number for a seed, as a float from 0 to 1: the same for every block that is written.
func chance(seed uint64) float64 {
	mixed := seed * 0x9e3779b97f4a7c15
	mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9
	mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb
	return float64((mixed^(mixed>>31))>>11) / (1 << 53)
}
