module git.example/demo/tally

go 1.21
