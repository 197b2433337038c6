// heap.go writes two heap profiles of itself, with 300 blocks more in the second, and a cpu profile beside the first.
package main

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
)

var kept [][]byte

//go:noinline
func base() {
	for i := 0; i < 200; i++ {
		kept = append(kept, make([]byte, 1000))
	}
}

//go:noinline
func grow() {
	for i := 0; i < 300; i++ {
		kept = append(kept, make([]byte, 4096))
	}
}

//go:noinline
func pass() {
	for i := 0; i < 100; i++ {
		kept[0] = make([]byte, 2048)
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func write(path string) {
	file, err := os.Create(path)
	check(err)
	runtime.GC()
	check(pprof.WriteHeapProfile(file))
	check(file.Close())
}

func main() {
	runtime.MemProfileRate = 1
	kept = make([][]byte, 0, 1000)
	file, err := os.Create(filepath.Join(filepath.Dir(os.Args[1]), "cpu.pb.gz"))
	check(err)
	check(pprof.StartCPUProfile(file))
	pprof.StopCPUProfile()
	check(file.Close())
	base()
	write(os.Args[1])
	pass()
	grow()
	write(os.Args[2])
	runtime.KeepAlive(kept)
}
