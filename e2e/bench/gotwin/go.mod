module roost.io/e2e/bench-gotwin

go 1.26.0
