//go:build pin

// Package centrifugo keeps the gateway's version in go.mod: without this import `go mod tidy` would drop it.
// The tag keeps the import out of every build; scripts/centrifugo builds the gateway itself.
package centrifugo

import _ "github.com/centrifugal/centrifugo/v5"
