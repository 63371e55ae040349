// Answers for every target of a generated exchange, as a proxy: a scraper that is told of it reaches each under its name.
//
// A target's page is text with values between; only the values are written anew for each scrape, so that thousands of
// targets cost a few hundredths of a core. Standard input is one JSON object: the pages, and the targets that show them.
// The first line of the output is the port on loopback. It ends when its input ends.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// exchange is what the input says: Step is the time between two scrapes in seconds, Targets the page of each address.
type exchange struct {
	Step    float64
	Pages   map[string][]line
	Targets map[string]string
}

// line is a series: Level + Slope * seconds + Noise * u after its Text, u being chance from 0 to 1.
//
// Lines of one Seed have the same u at the same scrape, so that buckets of a histogram do not cross. Digits are
// decimals, below 0 for all of them.
type line struct {
	Text                string
	Level, Slope, Noise float64
	Digits              int
	Seed                uint64
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	input := bufio.NewReaderSize(os.Stdin, 1<<20)
	var all exchange
	decoder := json.NewDecoder(input)
	if err := decoder.Decode(&all); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go func() {
		io.Copy(io.Discard, input)
		os.Exit(0)
	}()
	began := time.Now()
	return http.Serve(listener, http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		if request.Method == http.MethodPost {
			// An Alertmanager that takes every alert.
			io.Copy(io.Discard, request.Body)
			return
		}
		address := request.URL.Host + request.URL.Path
		if probed := request.URL.Query().Get("target"); probed != "" {
			address += "?target=" + probed
		}
		page, known := all.Targets[address]
		if !known {
			http.Error(writer, "no target "+address, http.StatusNotFound)
			return
		}
		// The time stands still between two scrapes: a counter never falls.
		step := math.Floor(time.Since(began).Seconds() / all.Step)
		writer.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		writer.Write(render(all.Pages[page], address, step, all.Step))
	}))
}

func render(lines []line, address string, step, seconds float64) []byte {
	own := fnv.New64a()
	own.Write([]byte(address))
	seed := own.Sum64()
	text := make([]byte, 0, len(lines)*110)
	for i := range lines {
		one := &lines[i]
		value := one.Level + one.Slope*step*seconds
		if one.Noise != 0 {
			value += one.Noise * chance(seed^one.Seed+uint64(step))
		}
		if one.Digits >= 0 {
			scale := math.Pow10(one.Digits)
			value = math.Round(value*scale) / scale
		}
		text = append(text, one.Text...)
		text = append(text, ' ')
		text = strconv.AppendFloat(text, value, 'g', -1, 64)
		text = append(text, '\n')
	}
	return text
}

// chance is splitmix64's number for a seed, as a float from 0 to 1.
func chance(seed uint64) float64 {
	mixed := seed * 0x9e3779b97f4a7c15
	mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9
	mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb
	return float64((mixed^(mixed>>31))>>11) / (1 << 53)
}
