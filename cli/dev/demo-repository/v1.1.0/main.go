// Command tally counts the lines, words and bytes of files, or of standard input, and names the words used most.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
)

// Set by the linker.
var version, commit, date = "dev", "none", "unknown"

func show(r io.Reader, name string, top int) error {
	c, err := tally(r)
	if err != nil {
		return err
	}
	fmt.Printf("%d lines, %d words, %d bytes  %s\n", c.lines, c.words, c.bytes, name)
	for _, w := range c.top(top) {
		fmt.Printf("  %4d  %s\n", w.times, w.text)
	}
	return nil
}

func run(files []string, top int) error {
	if len(files) == 0 {
		return show(os.Stdin, "standard input", top)
	}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		err = show(file, name, top)
		file.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func main() {
	top := flag.Int("top", 0, "name the `N` words used most")
	printVersion := flag.Bool("version", false, "print the version and exit")
	flag.Parse()
	if *printVersion {
		fmt.Printf("tally %s (commit %.12s, %s)\n", version, commit, date)
		return
	}
	if err := run(flag.Args(), *top); err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(1)
	}
}
