package main

import (
	"bufio"
	"errors"
	"io"
	"sort"
	"strings"
	"unicode"
)

type count struct {
	lines, words, bytes int
	uses                map[string]int
}

type use struct {
	text  string
	times int
}

func tally(r io.Reader) (count, error) {
	c := count{uses: map[string]int{}}
	in := bufio.NewReader(r)
	var word strings.Builder
	end := func() {
		if word.Len() == 0 {
			return
		}
		c.words++
		if text := strings.TrimFunc(word.String(), around); text != "" {
			c.uses[strings.ToLower(text)]++
		}
		word.Reset()
	}
	for {
		char, size, err := in.ReadRune()
		if errors.Is(err, io.EOF) {
			end()
			return c, nil
		}
		if err != nil {
			return c, err
		}
		c.bytes += size
		if char == '\n' {
			c.lines++
		}
		if unicode.IsSpace(char) {
			end()
		} else {
			word.WriteRune(char)
		}
	}
}

// around tells what stands around a word from the word itself.
func around(char rune) bool {
	return !unicode.IsLetter(char) && !unicode.IsNumber(char)
}

// top lists the n words used most, those used equally often by the alphabet.
func (c count) top(n int) []use {
	uses := make([]use, 0, len(c.uses))
	for text, times := range c.uses {
		uses = append(uses, use{text, times})
	}
	sort.Slice(uses, func(i, j int) bool {
		if uses[i].times != uses[j].times {
			return uses[i].times > uses[j].times
		}
		return uses[i].text < uses[j].text
	})
	return uses[:min(max(n, 0), len(uses))]
}
