//go:build !plant_echo_is_change

package plant

// EchoIsChange is off in a normal build.
const EchoIsChange = false
