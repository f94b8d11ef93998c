// Command tally counts the lines, words and bytes of files, or of standard input.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"unicode"
)

// Set by the linker.
var version, commit, date = "dev", "none", "unknown"

type count struct{ lines, words, bytes int }

func tally(r io.Reader) (count, error) {
	var c count
	in := bufio.NewReader(r)
	inWord := false
	for {
		char, size, err := in.ReadRune()
		if errors.Is(err, io.EOF) {
			return c, nil
		}
		if err != nil {
			return c, err
		}
		c.bytes += size
		if char == '\n' {
			c.lines++
		}
		if !inWord && !unicode.IsSpace(char) {
			c.words++
		}
		inWord = !unicode.IsSpace(char)
	}
}

func show(c count, name string) {
	fmt.Printf("%d lines, %d words, %d bytes  %s\n", c.lines, c.words, c.bytes, name)
}

func run(files []string) error {
	if len(files) == 0 {
		c, err := tally(os.Stdin)
		show(c, "standard input")
		return err
	}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		c, err := tally(file)
		file.Close()
		if err != nil {
			return err
		}
		show(c, name)
	}
	return nil
}

func main() {
	printVersion := flag.Bool("version", false, "print the version and exit")
	flag.Parse()
	if *printVersion {
		fmt.Printf("tally %s (commit %.12s, %s)\n", version, commit, date)
		return
	}
	if err := run(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(1)
	}
}
