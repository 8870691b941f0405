// Package workercomponent has nothing to run.
package workercomponent

import "go.uber.org/fx"

// Module is empty.
var Module = fx.Options()
