package capture

// InNamespace is for tests outside the package.
var InNamespace = inNamespace
